from pathlib import Path

import numpy as np
from PIL import Image

from llava_jax.images import load_image
from llava_jax.instruct.sets.fingerprints import NEAR_BITS, Pictures, fingerprint, fingerprints
from llava_jax.problems import Problems
from tests.instruct.sets.pictures import picture, save


def apart(a: Image.Image, b: Image.Image) -> int:
    bits = fingerprint(a).bits, fingerprint(b).bits
    assert bits[0] is not None and bits[1] is not None
    return (bits[0] ^ bits[1]).bit_count()


def test_the_bits_are_signs_of_low_frequencies() -> None:
    """Two half periods along x: that frequency is above the median, its negative below."""
    ramp = np.cos(2 * np.pi * (np.arange(32) + 0.5) / 32)
    images = [np.tile(128 + 100 * sign * ramp, (32, 1)).astype(np.uint8) for sign in (1, -1)]
    bits = [f"{fingerprint(Image.fromarray(image)).bits:064b}" for image in images]
    assert (bits[0][2], bits[1][2]) == ("1", "0")
    assert bits[0][0] == bits[1][0] == "1"  # the mean


def test_copies_stay_near_and_others_far(tmp_path: Path) -> None:
    for seed in range(10):
        image = picture(seed)
        save(image, tmp_path, "low.jpg", quality=40)
        assert apart(image, image.resize((48, 32))) <= NEAR_BITS
        assert apart(image, load_image(tmp_path / "low.jpg")) <= NEAR_BITS
        assert apart(image, picture(seed + 100)) > NEAR_BITS


def test_pixels_decide_and_not_the_file(tmp_path: Path) -> None:
    save(picture(0), tmp_path, "a.png")
    picture(0).save(tmp_path / "b.png", optimize=True, compress_level=1)
    save(picture(1), tmp_path, "c.png")
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:100])
    names = ["a.png", "b.png", "c.png", "broken.png", "gone.png", "", "a.png"]
    problems = Problems()
    found = fingerprints(tmp_path, names, problems)
    assert list(found) == ["a.png", "b.png", "c.png"]
    assert found["a.png"] == found["b.png"] != found["c.png"]
    assert problems.counts["image without a fingerprint: no such file"] == 1
    assert sum(problems.counts.values()) == 2


def test_an_even_area_is_near_nothing() -> None:
    assert fingerprint(Image.new("RGB", (40, 40), "red")).bits is None


def test_pictures_finds_the_nearest_of_many() -> None:
    rng = np.random.default_rng(0)
    seen = Pictures()
    assert seen.nearest(0) is None
    hashes = [int(h) for h in rng.integers(0, 2**64, 3000, dtype=np.uint64)]
    for place, bits in enumerate(hashes):
        seen.add(str(place), bits)
    assert seen.nearest(hashes[2500] ^ 0b101) == ("2500", 2)
    assert seen.nearest(hashes[7] ^ 0b11111) is None
