import random
from pathlib import Path

from llava_jax.instruct.sets.duplicates import Duplicate, find_duplicates
from llava_jax.instruct.sets.fingerprints import fingerprints
from llava_jax.instruct.sets.sample import Sample, words
from llava_jax.problems import Problems
from tests.instruct.sets.pictures import picture, save

LONG = "the quick brown fox jumps over the lazy dog and runs into the dark old forest at night"
NEAR = LONG.replace("at night", "at dawn")  # 15 of 17 runs of three words in common


def by_text(*texts: str) -> list[Duplicate]:
    return find_duplicates([Sample(str(n), text) for n, text in enumerate(texts)], {})


def test_texts_alone() -> None:
    exact, near = by_text(LONG, "A dog.", LONG.upper() + "!", "a dog", NEAR, "another text")[:3:2]
    assert exact == Duplicate(2, 0, "exact", 1.0)
    assert near == Duplicate(4, 0, "near", 15 / 17)
    assert by_text(LONG, "A dog.", "A cat.", LONG[:50]) == []
    assert by_text() == []


def test_what_was_dropped_drops_nothing() -> None:
    """A chain of small changes: each is near the one before, the last not near the first."""
    said = LONG.split()
    chain = [" ".join(said[:cut]) for cut in (17, 15, 13)]
    assert [(d.dropped, d.kept) for d in by_text(*chain)] == [(1, 0)]


def test_the_image_must_be_the_same_too(tmp_path: Path) -> None:
    image = picture(0)
    names = [
        save(image, tmp_path, "a.png"),
        save(image, tmp_path, "copy.png"),
        save(image.resize((48, 32)), tmp_path, "small.jpg", quality=50),
        save(picture(1), tmp_path, "other.png"),
    ]
    prints = fingerprints(tmp_path, names, Problems())
    samples = [Sample(name, LONG, name) for name in [*names, "gone.png"]]
    samples += [Sample("second answer", "a dog", "copy.png"), Sample("near", NEAR, "copy.png")]
    found = find_duplicates(samples, prints)
    assert [(d.dropped, d.kept, d.kind) for d in found] == [
        (1, 0, "exact"),
        (2, 0, "near"),  # the words are the same, the pixels only nearly
        (6, 0, "near"),
    ]
    assert found[2].line(samples) == "near is a near duplicate (0.88) of a.png"
    pictures_only = [Sample(name, "", name) for name in names]
    assert [(d.dropped, d.kept) for d in find_duplicates(pictures_only, prints)] == [(1, 0), (2, 0)]


def test_agrees_with_all_pairs() -> None:
    """The index only proposes: what it finds is what comparing every pair finds."""
    rng = random.Random(0)
    texts = [[rng.choice("abcdefghij") * 3 for _ in range(30)] for _ in range(60)]
    for _ in range(140):
        text = list(rng.choice(texts))
        for _ in range(rng.randint(1, 3)):
            text[rng.randrange(30)] = str(rng.random())
        texts.append(text)
    samples = [Sample(str(n), " ".join(text)) for n, text in enumerate(texts)]

    def runs(sample: Sample) -> set[tuple[str, ...]]:
        said = words(sample.text)
        return {tuple(said[i : i + 3]) for i in range(len(said) - 2)}

    kept: list[int] = []
    dropped = []
    for place, sample in enumerate(samples):
        own = runs(sample)
        likes = [len(own & runs(samples[k])) / len(own | runs(samples[k])) for k in kept]
        if max(likes, default=0) >= 0.6:
            dropped.append(place)
        else:
            kept.append(place)
    found = find_duplicates(samples, {}, least=0.6)
    assert len(dropped) > 40
    assert [duplicate.dropped for duplicate in found] == dropped
    assert found == find_duplicates(samples, {}, least=0.6)
