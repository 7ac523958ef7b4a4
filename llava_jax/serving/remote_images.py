"""Fetching images that clients name by address, from public addresses alone.

The check is made where a connection is dialled, so that no redirect, no odd spelling of an address
and no name that resolves differently the second time gets around it.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore2

from llava_jax.serving.errors import ApiError

SECONDS = 10.0  # for one image, all its redirects included
MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = (
    (b"Accept", b"image/*"),
    (b"Accept-Encoding", b"identity"),  # what is counted is what arrives
    (b"User-Agent", b"llava_jax"),
)

Resolve = Callable[[str, int], Awaitable[list[str]]]


class Refused(Exception):
    """An address that is not asked, or an answer that is not taken."""


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet.

    Of IPv6, the global unicast range without what stands for IPv4 addresses (mapped, 6to4, Teredo).
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        unicast = ip in ipaddress.IPv6Network("2000::/3")
        return unicast and ip.is_global and ip.sixtofour is None and ip.teredo is None
    return ip.is_global and not ip.is_multicast


class _PublicBackend(httpcore2.AsyncNetworkBackend):
    """Dials the address that it has resolved and checked; names in requests and TLS stay."""

    def __init__(self, resolve: Resolve, network: httpcore2.AsyncNetworkBackend):
        self._resolve, self._network = resolve, network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._resolve(host, port)
        if not addresses or not all(map(is_public, addresses)):
            raise Refused
        return await self._network.connect_tcp(
            addresses[0], port, timeout, local_address, socket_options
        )

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class RemoteImages:
    """Fetches images over http and https."""

    def __init__(
        self,
        resolve: Resolve = resolve,
        network: httpcore2.AsyncNetworkBackend | None = None,
        seconds: float = SECONDS,
    ):
        """network: dials; another than the machine's own only in tests."""
        self._network = _PublicBackend(resolve, network or httpcore2.AnyIOBackend())
        self._seconds = seconds

    async def fetch(self, url: str, largest: int) -> bytes:
        """The bytes at an address, at most `largest`.

        Raises:
          ApiError: 400; always the same, so that nobody learns what there is in our network.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._follow(url, largest)
        except Exception:  # resolvers, sockets, TLS and HTTP each have their own
            raise ApiError(
                400,
                "An image could not be fetched from the address that was given.",
                param="messages",
                code="invalid_image_url",
            ) from None

    async def _follow(self, url: str, largest: int) -> bytes:
        async with httpcore2.AsyncConnectionPool(network_backend=self._network) as pool:
            for _ in range(MOST_REDIRECTS + 1):
                parts = urlsplit(url)
                if parts.scheme not in ("http", "https") or "@" in parts.netloc:
                    raise Refused
                async with pool.stream("GET", url, headers=_HEADERS) as response:
                    if response.status == 200:
                        return await _body(response, largest)
                    if response.status not in _REDIRECTS:
                        raise Refused
                    headers = {name.lower(): value for name, value in response.headers}
                    url = urljoin(url, headers[b"location"].decode("ascii"))
        raise Refused


async def _body(response: httpcore2.Response, largest: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > largest:
            raise Refused
    return bytes(body)
