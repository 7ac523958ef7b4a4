"""A record as a sample: what its "<image>" means, and where its images stand."""

from llava_jax.data.records import Record, StoredImage
from llava_jax.data.samples import Sample
from tests.data.conftest import IMAGE_TOKENS


def record(question: str, *images: str) -> Record:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "A bus."}]
    return Record("000001", turns, tuple(StoredImage(name, b"") for name in images))


def text_of(sample: Sample, letters) -> str:
    return letters.decode(sample.tokens[sample.image_slots < 0].tolist())


def test_a_marker_is_an_image_where_the_record_has_one_and_else_text(encoder, letters):
    encode = encoder("vicuna_v1", 500)
    seen, typed = encode(record("<image>\nWhat?", "a.jpg")), encode(record("<image>\nWhat?"))
    assert (seen.images, typed.images) == (1, 0)
    assert (seen.image_slots >= 0).sum() == IMAGE_TOKENS
    assert "USER: \nWhat? ASSISTANT" in text_of(seen, letters)
    assert (typed.image_slots < 0).all()
    assert "USER: <image>\nWhat? ASSISTANT" in text_of(typed, letters)


def test_every_marker_counts_whatever_the_record_has(encoder):
    """Training refuses records whose numbers differ (`doctor.check`), so none may get lost here."""
    encode = encoder("vicuna_v1", 500)
    for question, markers in (("<image>\n<image>\nWhat?", 2), ("What <image>?", 1), ("What?", 0)):
        sample = encode(record(question, "a.jpg", "b.jpg"))
        assert sample.images == markers
        slots = sample.image_slots[sample.image_slots >= 0]
        assert slots.tolist() == list(range(markers * IMAGE_TOKENS))


def test_images_that_are_cut_off_still_count(encoder):
    encode = encoder("vicuna_v1", 30)
    sample = encode(record("What is this? <image> And <image>?", "a.jpg", "b.jpg"))
    assert (len(sample.tokens), sample.images) == (30, 2)
    assert (sample.image_slots >= 0).sum() < IMAGE_TOKENS


def test_the_fingerprint_changes_with_the_encoding(encoder):
    marks = [encoder(*options).fingerprint() for options in (("plain", 64), ("plain", 65), ("v1",))]
    assert len(set(marks)) == 3
    assert encoder("plain", 64).fingerprint() == marks[0]
