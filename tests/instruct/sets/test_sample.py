import pytest

from llava_jax.instruct.importers.pictures import image_id
from llava_jax.instruct.sets.sample import Sample, sample_of, words


def test_a_records_words_and_image() -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A dog."}]
    sample = sample_of({"id": 7, "image": "a/1.jpg", "conversations": turns})
    assert (sample.id, words(sample.text), sample.image) == ("7", ["what", "a", "dog"], "a/1.jpg")
    assert sample_of({"id": "t", "conversations": turns}) == Sample("t", sample.text, "")


def test_words_level_case_form_and_punctuation() -> None:
    assert words("The Café, 2/\ufb01ne!\nOK_") == words("the cafe\u0301 2 fine ok_")


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("COCO_val2014_000000441147.jpg", "000000441147"),
        ("coco/train2017/000000441147.png", "000000441147"),
        ("COCO_train2014_000000441147.jpg", "000000441147"),
        ("001.jpg", "001"),
        ("", ""),
    ],
)
def test_an_image_has_one_id_under_all_names(name: str, id: str) -> None:
    assert image_id(name) == id
