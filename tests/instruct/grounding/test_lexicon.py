from llava_jax.instruct.grounding.lexicon import meaning_of, singular
from llava_jax.instruct.importers.coco_labels import COCO_LABELS
from llava_jax.instruct.nouns import plural


def labels(phrase: str, known: tuple[str, ...] = COCO_LABELS) -> set[str]:
    meaning, _ = meaning_of(phrase.split(), known)
    return set() if meaning is None else set(meaning.labels)


def test_all_of_coco_in_singular_and_plural() -> None:
    assert len(set(COCO_LABELS)) == 80
    for label in COCO_LABELS:
        assert labels(label) == {label}
        if label not in ("skis", "scissors"):
            assert labels(plural(label)) == {label}


def test_synonyms_and_wider_words() -> None:
    assert labels("sofas") == {"couch"}
    assert labels("two young women") == {"person"}
    assert labels("a brown teddy bear") == {"teddy bear"}
    assert labels("glasses") == {"cup", "wine glass"}
    assert "bus" in labels("vehicles")
    assert labels("bowls of soup") == set()


def test_what_is_open_and_what_is_whole() -> None:
    kitten, _ = meaning_of(["kitten"], COCO_LABELS)
    people, _ = meaning_of(["people"], COCO_LABELS)
    assert kitten is not None and kitten.closed and not kitten.whole
    assert people is not None and people.whole and not people.closed


def test_a_label_of_the_scene_means_itself() -> None:
    assert labels("a bird", ("bird", "duck")) == {"bird"}
    assert labels("a person", ("man",)) == {"person", "man"}
    assert labels("a boy", ("man",)) == {"person"}
    assert labels("two street lamps", ("street lamp",)) == {"street lamp"}


def test_singular() -> None:
    words = {"buses": "bus", "knives": "knife", "glass": "glass", "puppies": "puppy", "men": "man"}
    assert {word: singular(word) for word in words} == words
