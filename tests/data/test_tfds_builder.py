"""The TFDS build holds the same records, and needs no TensorFlow."""

import json
import pickle
import subprocess
import sys

import pytest

from llava_jax.data.bad_images import BadImages
from llava_jax.data.records import LlavaJson, Record, StoredImage
from llava_jax.data.tfds_builder import LlavaTfds, build
from llava_jax.errors import UserError


def in_memory(record: Record) -> Record:
    images = tuple(StoredImage(image.name, image.read()) for image in record.images)
    return Record(record.id, record.conversations, images)


def test_equals_the_json_on_real_pairs(shared_data, tmp_path):
    folder = shared_data / "lcs_2k"
    pairs = json.loads((folder / "chat.json").read_text())[:30]
    (tmp_path / "some.json").write_text(json.dumps(pairs))
    loose = LlavaJson(tmp_path / "some.json", folder / "images")
    built = build(tmp_path / "some.json", folder / "images", tmp_path / "tfds", BadImages())
    assert list(built) == [in_memory(record) for record in loose]
    again = pickle.loads(pickle.dumps(built))
    assert again[29] == built[29] and again.fingerprint() == built.fingerprint()
    assert again[3].images[0].load() == loose[3].images[0].load()


def test_text_only_and_several_images_and_bad_ones(write, caption, tmp_path, image_folder):
    turns = [{"from": "human", "value": "größer? 象"}, {"from": "gpt", "value": "ja"}]
    records = [
        {"id": 3, "conversations": turns},
        caption("two", ["1.png", "2.png"], "x"),
        caption("gone", ["1.png", "missing.png"], "x"),
        caption("last", "1.png", "y"),
    ]
    loose = write(records)
    bad_images = BadImages("skip")
    built = build(loose.path, image_folder, tmp_path / "tfds", bad_images)
    assert list(built) == [in_memory(loose[i]) for i in (0, 1, 3)]
    assert bad_images.to_dict() == {str(image_folder / "missing.png"): "no such file"}

    unchanged = build(loose.path, image_folder, tmp_path / "tfds", BadImages("fail"))
    assert list(unchanged) == list(built)
    other = write(records[:1])
    with pytest.raises(UserError, match="was built from other data"):
        build(other.path, image_folder, tmp_path / "tfds", bad_images)


@pytest.mark.parametrize(
    ("policy", "message"),
    [("skip", "no record of .* has images that can be read"), ("fail", r"missing1\.png: no such")],
)
def test_nothing_is_left_behind_when_it_cannot_be_built(
    write, caption, tmp_path, image_folder, policy, message
):
    loose = write([caption("a", "missing1.png", "x"), caption("b", "missing2.png", "x")])
    with pytest.raises(UserError, match=message):
        build(loose.path, image_folder, tmp_path / "tfds", BadImages(policy))
    with pytest.raises(UserError, match="build it first"):
        LlavaTfds(tmp_path / "tfds")


WITHOUT_TENSORFLOW = """
import sys
from llava_jax.data.bad_images import BadImages
from llava_jax.data.tfds_builder import build
path, images, folder = sys.argv[1:]
built = build(path, images, folder, BadImages())
print(len(built), built[1].images[0].load().size, "tensorflow" in sys.modules)
"""


def test_builds_and_reads_without_tensorflow(captions, tmp_path, image_folder):
    loose = captions(3)
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, loose.path, image_folder, tmp_path / "t"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "3 (12, 9) False\n", done.stderr
