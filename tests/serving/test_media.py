"""Images by their addresses: what is read, and what is not, whoever names it."""

import asyncio
import io
import struct
from pathlib import Path

import pytest
from load_requests import promised_png
from PIL import Image

from llava_jax.serving import media
from llava_jax.serving.errors import ApiError
from llava_jax.serving.media import Media
from tests.inference import tiny
from tests.serving.live import data_uri, encoded

PNG = encoded(tiny.picture(1))


def read(url: str, media: Media | None = None) -> bytes:
    (image,) = asyncio.run((media or Media()).read_all([url]))
    return image


def refusal(url: str, media: Media | None = None) -> str:
    with pytest.raises(ApiError) as error:
        read(url, media)
    assert error.value.status_code == 400
    return str(error.value.detail)


def webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(content)) + content


def test_data_uris():
    assert read(data_uri(PNG)) == PNG
    assert read(data_uri(PNG, "image/png;name=a.png")) == PNG
    assert read(data_uri(PNG).replace("data:", "DATA:")) == PNG


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        "data:image/png,abc",
        "data:text/plain;base64,AAAA",
        "data:image/png;base64,A",
        "data:image/png;base64,ÄÖ==",
        "data:image/png;base64,AA AA",
        "data:image/png;base64,",
        data_uri(b"GIF89a"),
        data_uri(PNG[:20]),
        data_uri(b"%PDF-1.4"),
        data_uri(b"RIFF\0\0\0\0WEBPVP8X"),
        "",
        "cat.png",
        "ftp://example.com/a.png",
        "http://example.com/a.png",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "javascript:1",
    ],
)
def test_what_is_no_image(url: str):
    assert "0x" not in refusal(url)


@pytest.mark.parametrize("make", [promised_png, webp])
@pytest.mark.parametrize(("width", "height"), [(16385, 1), (1, 16385), (10_000, 5001), (2**20, 9)])
def test_promises_of_too_many_pixels(make, width: int, height: int):
    assert "pixels" in refusal(data_uri(make(width, height)))


def test_too_many_pixels_together():
    most = [data_uri(promised_png(10_000, 5000))] * 2
    assert len(asyncio.run(Media().read_all(most))) == 2
    with pytest.raises(ApiError, match=r"100000000 pixels together: send smaller or fewer"):
        asyncio.run(Media().read_all([*most, data_uri(PNG)]))


@pytest.mark.parametrize("lossless", [False, True])
def test_the_size_of_a_webp(lossless: bool):
    image = encoded(tiny.picture(1, 70, 31), "WEBP", lossless=lossless)
    assert media._webp_size(image) == (70, 31)
    extended = encoded(tiny.picture(1, 70, 31).convert("RGBA"), "WEBP", exif=b"Exif\0\0")
    assert media._webp_size(extended) == (70, 31)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_animations(form: str):
    frames = [tiny.picture(2), tiny.picture(3)]
    moving = encoded(tiny.picture(1), form, save_all=True, append_images=frames)
    assert "animated" in refusal(data_uri(moving))


def test_a_photo_with_a_second_one_inside():
    photo = encoded(tiny.picture(1), "MPO", save_all=True, append_images=[tiny.picture(2)])
    assert read(data_uri(photo, "image/jpeg")) == photo


def test_too_many_bytes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "LARGEST_IMAGE", len(PNG) - 1)
    assert "bytes" in refusal(data_uri(PNG))


def test_formats_that_are_not_read():
    for form in ("TIFF", "ICO", "PPM"):
        assert "cannot be read" in refusal(data_uri(encoded(tiny.picture(1), form)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """images/ with a picture, a link to it, a link out of it; beside it, a secret."""
    (tmp_path / "images" / "cats").mkdir(parents=True)
    tiny.picture(1).save(tmp_path / "images" / "cats" / "a b.png")
    tiny.picture(2).save(tmp_path / "secret.png")
    (tmp_path / "images" / "inside.png").symlink_to(tmp_path / "images" / "cats" / "a b.png")
    (tmp_path / "images" / "outside.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "up").symlink_to(tmp_path)
    return tmp_path / "images"


def test_files_of_the_folder(folder: Path):
    allowed = Media(folder)
    picture = (folder / "cats" / "a b.png").read_bytes()
    for url in (
        f"file://{folder}/cats/a%20b.png",
        f"file://localhost{folder}/inside.png",
        f"FILE://{folder}/cats/../cats/a%20b.png",
        "file:cats/a%20b.png",
    ):
        assert read(url, allowed) == picture
    through_a_link = folder.parent / "link"
    through_a_link.symlink_to(folder)
    assert read("file:inside.png", Media(through_a_link)) == picture


def test_files_elsewhere(folder: Path):
    """All alike: nobody learns which of them there are."""
    named = {
        f"file://{folder.parent}/secret.png",
        "file:../secret.png",
        "file:cats/%2e%2e/%2e%2e/secret.png",
        "file:outside.png",
        "file:up/secret.png",
        "file:none.png",
        "file:cats",
        "file:",
        "file:a%00b",
        f"file://example.com{folder}/inside.png",
        "file:///dev/zero",
        "file://[/x",
        "file:" + "x" * 5000,
    }
    assert len({refusal(url, Media(folder)) for url in named}) == 1


def test_a_damaged_image_passes_its_header(tmp_path: Path):
    """What only decoding shows is found there: tests of the API ask for it."""
    damaged = data_uri(PNG[:-40])
    assert read(damaged) == PNG[:-40]
    with pytest.raises(OSError), Image.open(io.BytesIO(PNG[:-40])) as image:
        image.load()
