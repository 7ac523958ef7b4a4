"""Fetching by address: only from the open Internet, whatever names, redirects and sizes say."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpcore2
import pytest

from llava_jax.serving.errors import ApiError
from llava_jax.serving.media import Media
from llava_jax.serving.remote_images import RemoteImages, is_public, resolve
from tests.inference import tiny
from tests.serving.live import encoded

PNG = encoded(tiny.picture(1))
PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("198.18.0.1", False),
        ("192.0.2.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        (f"::ffff:{PUBLIC}", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("2001:db8::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
    ],
)
def test_public_addresses(address: str, public: bool):
    assert is_public(address) == public


class Web(httpcore2.AsyncNetworkBackend):
    """Names and what they resolve to; every dialled address is a server of this machine."""

    def __init__(self, port: int, names: dict[str, list[list[str]]]):
        """names: of each host, the addresses that it gives the first time, the second, ..."""
        self._port, self._names = port, names
        self._network = httpcore2.AnyIOBackend()
        self.dialled: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> list[str]:
        return self._names[host].pop(0)

    async def connect_tcp(self, host: str, port: int, *rest: Any) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        return await self._network.connect_tcp("127.0.0.1", self._port, *rest)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Site(BaseHTTPRequestHandler):
    """/cat.png; /to?URL leads there; /large and /slow never end; /secret must not be asked for."""

    asked: list[tuple[str | None, str]]

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        kind, _, target = self.path.partition("?")
        if kind == "/to":
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
        elif kind == "/nowhere":
            self.send_response(302)
            self.end_headers()
        elif kind == "/missing":
            self.send_response(404)
            self.end_headers()
        elif kind == "/large":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(2**16))
            except OSError:
                pass
        elif kind == "/slow":
            self.server.stop.wait(20)  # type: ignore[attr-defined]
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(PNG)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site(**names: list[list[str]]) -> Iterator[tuple[Web, list[tuple[str | None, str]]]]:
    """The web in which hosts are called by the names given, `_` for each dot."""
    from threading import Event

    asked: list[tuple[str | None, str]] = []
    handler = type("Site", (_Site,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.stop = Event()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    hosts = {name.replace("_", "."): addresses for name, addresses in names.items()}
    try:
        yield Web(server.server_port, hosts), asked
    finally:
        server.stop.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


def fetch(web: Web, url: str, **options: Any) -> bytes:
    return asyncio.run(RemoteImages(web.resolve, web, **options).fetch(url, 2**20))


def refused(web: Web, url: str, **options: Any) -> str:
    with pytest.raises(ApiError) as error:
        fetch(web, url, **options)
    assert error.value.status_code == 400
    return str(error.value.detail)


def test_the_address_that_was_checked_is_dialled_under_its_own_name():
    with site(a_com=[[PUBLIC, "2606:2800:220:1::1"]]) as (web, asked):
        assert fetch(web, "http://a.com/cat.png?x=1") == PNG
    assert web.dialled == [(PUBLIC, 80)] and asked == [("a.com", "/cat.png?x=1")]


def test_images_come_through_the_api_s_door():
    with site(a_com=[[PUBLIC]]) as (web, _):
        allowed = Media(remote=RemoteImages(web.resolve, web))
        assert asyncio.run(allowed.read_all(["http://a.com/cat.png"])) == [PNG]


@pytest.mark.parametrize(
    "addresses",
    [[], ["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["10.0.0.1", PUBLIC], ["::ffff:127.0.0.1"], ["::1"]],
)
def test_one_address_inside_is_too_many(addresses: list[str]):
    with site(a_com=[addresses]) as (web, asked):
        refused(web, "http://a.com/secret")
    assert not web.dialled and not asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost",
        "0",
        "[::1]",
        "[::ffff:7f00:1]",
    ],
)
def test_the_machine_s_own_resolver_gives_nothing_of_ours(host: str):
    with site() as (web, asked):
        url = f"http://{host}:{web._port}/secret"
        with pytest.raises(ApiError):
            asyncio.run(RemoteImages(resolve).fetch(url, 2**20))
    assert not asked


def test_redirects_are_followed_and_checked_again():
    with site(a_com=[[PUBLIC]], b_com=[["1.1.1.1"]]) as (web, asked):
        assert fetch(web, "http://a.com/to?http://b.com/cat.png") == PNG
    assert [host for host, _ in web.dialled] == [PUBLIC, "1.1.1.1"]
    assert asked[-1] == ("b.com", "/cat.png")


@pytest.mark.parametrize(
    "target",
    [
        "http://b.com/secret",
        "http://a.com/secret",
        "//b.com/secret",
        "ftp://a.com/secret",
        "file:///etc/passwd",
        "http://x@a.com/secret",
        "http://[/secret",
    ],
)
def test_redirects_inside_are_not(target: str):
    """b.com is ours from the start, a.com turns out to be when it is asked a second time."""
    with site(a_com=[[PUBLIC], ["127.0.0.1"]], b_com=[["192.168.1.1"]]) as (web, asked):
        refused(web, f"http://a.com/to?{target}")
    assert len(web.dialled) == 1 and [path[:3] for _, path in asked] == ["/to"]


def test_a_redirect_on_the_same_host_asks_anew_or_keeps_its_line():
    with site(a_com=[[PUBLIC], [PUBLIC]]) as (web, _):
        assert fetch(web, "http://a.com/to?/cat.png") == PNG
    assert {host for host, _ in web.dialled} == {PUBLIC}


def test_refusals_are_all_alike():
    """So that nobody learns from them what there is in our network."""
    chain = "/to?" * 4 + "/cat.png"
    urls = ["/missing", "/large", "/nowhere", chain]
    with site(a_com=[[PUBLIC]] * 9, b_com=[["10.0.0.1"]]) as (web, _):
        texts = {refused(web, f"http://a.com{path}") for path in urls}
        texts |= {refused(web, url) for url in ("http://b.com", "http://c.com", "http://", "x:")}
        texts |= {refused(web, "https://a.com/cat.png", seconds=1.0), refused(web, "http://ä.com/")}
        texts.add(refused(web, "http://a.com/slow", seconds=0.2))
    assert len(texts) == 1
