"""The feature cache: each image once, and never features of another image or tower."""

import pickle

import numpy as np
import pytest

from llava_jax.data.bad_images import BadImages
from llava_jax.data.features import BFLOAT16, FeatureCache
from llava_jax.data.tfds_builder import build
from llava_jax.errors import UserError
from llava_jax.images import ImageError, Preprocessing


class Tower:
    """Two features an image: its mean colour, and three numbers that bfloat16 must round."""

    def __init__(self):
        self.batches = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        assert images.shape == (2, 8, 8, 3) and images.dtype == np.uint8
        self.batches += 1
        colour = images.mean(axis=(1, 2), dtype=np.float32)
        return np.stack([colour, colour / 3], axis=1)


@pytest.fixture
def make(tmp_path):
    def make_cache(sources, tower, *, name="weights-1", mode="crop", policy="skip"):
        return FeatureCache.build(
            tmp_path / "features",
            sources,
            tower,
            tower=name,
            preprocessing=Preprocessing(8, mode),
            batch=2,
            bad_images=BadImages(policy),
        )

    return make_cache


def test_each_image_once_in_bfloat16(write, caption, make):
    source = write([caption(i, [f"{i % 3}.png", "7.png"], "x") for i in range(6)])
    tower = Tower()
    cache = make([source, source], tower)
    assert len(cache) == 4 and tower.batches == 2 and cache.shape == (2, 3)
    features = cache[source[5].images[0]]
    assert features.dtype == BFLOAT16
    expected = np.array([[2, 100, 50], [2 / 3, 100 / 3, 50 / 3]], np.float32)
    np.testing.assert_array_equal(features, expected.astype(BFLOAT16))
    again = pickle.loads(pickle.dumps(cache))
    np.testing.assert_array_equal(again[source[0].images[1]], cache[source[5].images[1]])
    assert len(pickle.dumps(cache)) < 1000


def test_what_is_there_is_kept(captions, make):
    first, tower = captions(4), Tower()
    make([first], tower)
    make([first], tower)
    assert tower.batches == 2
    both = make([first, captions(3, name="other")], tower)
    assert len(both) == 7 and tower.batches == 4
    assert both[first[3].images[0]][0].astype(int).tolist() == [3, 100, 50]
    assert len(make([first], tower)) == 7 and tower.batches == 4
    assert len(make([captions(8, name="third")], tower)) == 15 and tower.batches == 8


@pytest.mark.parametrize("change", [{"name": "weights-2"}, {"mode": "pad"}])
def test_another_tower_or_preprocessing_starts_anew(captions, make, change):
    source, tower = captions(4), Tower()
    before = make([source], tower)
    after = make([source], tower, **change)
    assert tower.batches == 4 and before.fingerprint != after.fingerprint


def test_a_changed_image_has_no_features_until_they_are_made(captions, make):
    source, tower = captions(2), Tower()
    cache = make([source], tower)
    image = source[0].images[0]
    image.content.write_bytes(source[1].images[0].content.read_bytes() + b" ")
    assert image not in cache
    with pytest.raises(ImageError, match=r"data0\.png: it has no features"):
        cache[image]
    assert make([source], tower)[image][0].astype(int).tolist() == [1, 100, 50]


def test_unreadable_images(write, caption, make, image_folder):
    names = ["1.png", "missing.png", "broken.png", "2.png"]
    source = write([caption(name, name, "x") for name in names])
    (image_folder / "broken.png").write_bytes(b"nothing")
    tower = Tower()
    cache = make([source], tower)
    assert len(cache) == 2
    make([source], tower)
    assert tower.batches == 1
    assert [image in cache for image in (source[0].images[0], source[2].images[0])] == [True, False]
    with pytest.raises(UserError, match=r"missing\.png: no such file"):
        make([source], Tower(), policy="fail")
    only_bad = write([caption("a", "missing.png", "x")], "bad.json")
    assert len(make([only_bad], Tower(), name="weights-3")) == 0


def test_images_of_a_tfds_build(captions, make, tmp_path, image_folder):
    loose = captions(3)
    built = build(loose.path, image_folder, tmp_path / "tfds", BadImages())
    cache = make([built], Tower())
    assert cache[built[2].images[0]][0].astype(int).tolist() == [2, 100, 50]


def test_a_failure_leaves_the_old_cache_alone(captions, make, tmp_path):
    source = captions(2)
    make([source], Tower())

    def failing(images):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write the features .* No space left on device"):
        make([source], failing, name="weights-2")
    assert len(FeatureCache(tmp_path / "features")) == 2
    assert [path.name for path in tmp_path.glob("features*")] == ["features"]


def test_other_folders_are_not_overwritten(captions, make, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "thesis.tex").touch()
    with pytest.raises(UserError, match="no feature cache"):
        make([captions(2)], Tower())
    assert (tmp_path / "features" / "thesis.tex").exists()
