"""Records: the same from a list and from lines, checked when opened, images read when asked for."""

import json
import pickle

import pytest

from llava_jax.data.records import LlavaJson, StoredImage
from llava_jax.errors import UserError
from llava_jax.images import ImageError

TURNS = [{"from": "human", "value": "<image>\nWas ist größer? 象"}, {"from": "gpt", "value": "ok"}]
RECORDS = [
    {"id": "a", "image": "sub/1.png", "conversations": TURNS},
    {"id": 7, "image": ["sub/1.png", "2.png"], "conversations": TURNS},
    {"conversations": TURNS[1:], "image": None, "model": "more keys are fine"},
]


LINES = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
LAYOUTS = {
    "list": json.dumps(RECORDS),
    "indented": json.dumps(RECORDS, ensure_ascii=False, indent=2),
    "lines": "\n".join(LINES),
    "gaps": "\n\n".join(LINES) + "\n \n",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_gives_the_same_records(write, tmp_path, image_folder, text):
    write(RECORDS)
    (tmp_path / "other").write_text(text, encoding="utf-8")
    source = LlavaJson(tmp_path / "other", image_folder)
    assert [record.id for record in source] == ["a", "7", "2"]
    assert [record.conversations for record in source] == [TURNS, TURNS, TURNS[1:]]
    assert [[image.name for image in record.images] for record in source] == [
        ["sub/1.png"],
        ["sub/1.png", "2.png"],
        [],
    ]
    assert source[1].images[1].load().getpixel((0, 0)) == (2, 100, 50)
    assert pickle.loads(pickle.dumps(source))[1] == source[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no records"),
        ("[]", "holds no records"),
        ("[1]", "record 0 .* is not an object"),
        ('[{"id": 1, "conversations": []}]', r"record 0 .*\(id '1'\) has no `conversations`"),
        ('{"id": "x"}', r"record 0 .*\(id 'x'\) has no `conversations`"),
        ('[{"id": 1, "conversations": null}]', r"record 0 .*\(id '1'\) has no `conversations`"),
        ('[{"id": 1, "conversations": ["Hi"]}]', r"\(id '1'\) has a turn without the texts"),
        ('[{"id": 1, "conversations": [{"from": "human"}]}]', "a turn without the texts"),
        ('[{"conversations": [{"from": "human", "value": 3}]}]', "a turn without the texts"),
        ("not json", "neither a JSON list nor JSON lines"),
        ('[{"conversations": [{"from": "human", "value": "a"}]}', "neither a JSON list"),
        ('{"conversations": [{"from": "human", "value": "a"}]} x', "neither a JSON list"),
    ],
)
def test_records_that_are_not_of_the_format(tmp_path, text, message):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(UserError, match=message):
        LlavaJson(tmp_path / "data.json")


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a/../../b.png"])
def test_images_stay_in_their_folder(tmp_path, caption, name):
    (tmp_path / "data.json").write_text(json.dumps([caption("a", name, "x")]))
    with pytest.raises(UserError, match=r"\(id 'a'\) has an `image` outside the image folder"):
        LlavaJson(tmp_path / "data.json", tmp_path)


def test_missing_files_and_folders(tmp_path, caption):
    with pytest.raises(UserError, match=r"nowhere\.json: No such file"):
        LlavaJson(tmp_path / "nowhere.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        LlavaJson(tmp_path / "binary")
    (tmp_path / "data.json").write_text(json.dumps([caption("a", "a.png", "x")]))
    with pytest.raises(UserError, match="no image folder is given"):
        LlavaJson(tmp_path / "data.json")
    with pytest.raises(UserError, match=r"image folder .* does not exist"):
        LlavaJson(tmp_path / "data.json", tmp_path / "nowhere")


def test_a_missing_image_is_found_when_it_is_read(write, caption, image_folder):
    image = write([caption("a", "missing.png", "x")])[0].images[0]
    for read in (image.read, image.load, image.key):
        with pytest.raises(ImageError, match=r"images/missing\.png: no such file"):
            read()
    assert image == StoredImage("missing.png", image_folder / "missing.png")


def test_the_key_of_an_image_changes_with_its_content(write, caption):
    image = write([caption("a", "1.png", "x")])[0].images[0]
    before = image.key()
    assert image.key() == before
    image.content.write_bytes(b"something else")
    assert image.key() != before
    assert StoredImage("a", b"1").key() != StoredImage("a", b"2").key()


def test_real_pairs(shared_data):
    folder = shared_data / "lcs_2k"
    source = LlavaJson(folder / "chat.json", folder / "images")
    assert len(source) == 1600 and len({record.id for record in source}) == 1600
    for record in source:
        assert len(record.images) == 1
        assert record.conversations[0]["value"].count("<image>") == 1
    assert max(source[1599].images[0].load().size) <= 384
