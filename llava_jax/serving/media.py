"""Images of requests: where their bytes come from, and what is checked before decoding."""

import base64
import binascii
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from llava_jax.serving.errors import ApiError
from llava_jax.serving.remote_images import RemoteImages

LARGEST_IMAGE = 10 * 2**20  # bytes
MOST_PIXELS = 50_000_000
MOST_PIXELS_TOGETHER = 100_000_000  # of all images of a request: what decoding them may take
LONGEST_SIDE = 16384
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")


def refused(message: str, code: str = "invalid_image") -> ApiError:
    return ApiError(400, message, param="messages", code=code)


@dataclass(frozen=True)
class Media:
    """Reads images by their URLs.

    folder: what file: addresses may name; None: nothing. remote: fetches http: and https:; None:
    nobody does.
    """

    folder: Path | None = None
    remote: RemoteImages | None = None

    async def read_all(self, urls: Sequence[str]) -> list[bytes]:
        """The bytes of a request's images.

        Raises:
          ApiError: 400 for one that may not be decoded, or for too many pixels in all.
        """
        images, pixels = [], 0
        for url in urls:
            images.append(await self._read(url))
            pixels += check_header(images[-1])
            if pixels > MOST_PIXELS_TOGETHER:
                raise refused(
                    f"The images of a request may have {MOST_PIXELS_TOGETHER} pixels together: "
                    "send smaller or fewer ones."
                )
        return images

    async def _read(self, url: str) -> bytes:
        match url.partition(":")[0].lower():
            case "data":
                return _from_data_uri(url)
            case "file" if self.folder is not None:
                return _from_file(url, self.folder)
            case "http" | "https" if self.remote is not None:
                return await self.remote.fetch(url, LARGEST_IMAGE)
            case _:
                raise refused(
                    "This server takes no images from such addresses: send it as a data URI.",
                    "invalid_image_url",
                )


def _from_data_uri(uri: str) -> bytes:
    head, comma, encoded = uri.partition(",")
    kind, *options = head.lower().removeprefix("data:").split(";")
    if not comma or not kind.startswith("image/") or "base64" not in options:
        raise refused("An image's data URI looks like data:image/png;base64,...")
    if len(encoded) * 3 // 4 > LARGEST_IMAGE + 2:
        raise _too_large()
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise refused("The base64 text of an image's data URI is malformed.") from None


def _from_file(url: str, folder: Path) -> bytes:
    """A file under the folder, wherever links in its path lead; of others, nothing is told."""
    allowed = folder.resolve()
    try:
        parts = urlsplit(url)
        path = (allowed / unquote(parts.path)).resolve(strict=True)
        if parts.netloc in ("", "localhost") and path.is_relative_to(allowed) and path.is_file():
            with path.open("rb") as file:
                return file.read(LARGEST_IMAGE + 1)
    except (OSError, ValueError, RuntimeError):
        pass
    raise refused("There is no such image file that this server may read.", "invalid_image_url")


def check_header(data: bytes) -> int:
    """How many pixels an image says to have; nothing is decoded.

    Raises:
      ApiError: 400 for one that is too large, animated, or of no format that is read.
    """
    if len(data) > LARGEST_IMAGE:
        raise _too_large()
    try:
        # Pillow makes room for a WebP's pixels as soon as it opens it.
        size = _webp_size(data) if data[8:12] == b"WEBP" else (0, 0)
        animated = False
        if not _too_big(*size):
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                size = image.size
                # A photo with a second one inside (MPO) does not move.
                animated = image.format != "MPO" and getattr(image, "is_animated", False)
    except Image.DecompressionBombError:
        size = (LONGEST_SIDE + 1,) * 2
    except Exception:  # decoders raise nearly anything on malformed bytes
        raise refused(f"An image cannot be read: give one as {', '.join(FORMATS)}.") from None
    if _too_big(*size):
        raise refused(
            f"An image has more than {MOST_PIXELS} pixels or a side of more than {LONGEST_SIDE}."
        )
    if animated:
        raise refused("An image is animated: give a single frame.")
    return size[0] * size[1]


def _too_big(width: int, height: int) -> bool:
    return width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE


def _too_large() -> ApiError:
    return refused(f"An image has more than {LARGEST_IMAGE} bytes.")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the header (RFC 9649, sections 2.5 to 2.7)."""

    def number(start: int, end: int) -> int:
        return int.from_bytes(data[start:end], "little")

    match data[12:16]:
        case b"VP8X":
            return 1 + number(24, 27), 1 + number(27, 30)
        case b"VP8L":
            bits = number(21, 25)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return number(26, 28) & 0x3FFF, number(28, 30) & 0x3FFF
    raise ValueError("no WebP")
