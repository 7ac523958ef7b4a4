"""Samples that say the same of the same picture: exactly, or nearly."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from datasketch import MinHash, MinHashLSH

from llava_jax.instruct.sets.fingerprints import Fingerprint, Pictures
from llava_jax.instruct.sets.sample import Sample, words

NEAR_TEXT = 0.8  # Jaccard similarity of word shingles
_SHINGLE = 3  # words
_PERMUTATIONS = 128
# How bad it is that an index misses a pair, beside that it offers a false one (which is then seen).
_FALSE_OFFER, _MISSED = 0.02, 0.98


@dataclass(frozen=True)
class Duplicate:
    """`dropped` and `kept` are positions in the set. similarity: of their shingles, 0 to 1."""

    dropped: int
    kept: int
    kind: Literal["exact", "near"]
    similarity: float

    def line(self, samples: Sequence[Sample]) -> str:
        """As in "7-detail is a near duplicate (0.91) of 3-detail"."""
        dropped, kept = samples[self.dropped].id, samples[self.kept].id
        return f"{dropped} is a {self.kind} duplicate ({self.similarity:.2f}) of {kept}"


def find_duplicates(
    samples: Sequence[Sample], prints: Mapping[str, Fingerprint], least: float = NEAR_TEXT
) -> list[Duplicate]:
    """What to leave out, in the set's order: the first of several alike stays.

    Exact: the same words and the same pixels. Near: shingles of at least `least` similarity, and
    the same picture by its perceptual hash; so two answers about one image are no duplicates, nor
    is one answer given for two images. Samples without an image are compared by text alone, those
    without text by image alone. Deterministic: MinHash (datasketch, fixed seed) finds candidates,
    their exact similarity decides; of pairs at 0.8 it misses 2 in 100, at 0.85 1 in 700.

    prints: of the images, by name; an image without one is like no other.
    """
    pictures = same_pictures((sample.image for sample in samples), prints)
    index = MinHashLSH(least, _PERMUTATIONS, weights=(_FALSE_OFFER, _MISSED))
    blank = MinHash(_PERMUTATIONS)
    seen: dict[tuple[str, str], int] = {}
    found = []

    def shingles(place: int) -> set[bytes]:
        return _shingles(samples[place].text, pictures.get(samples[place].image, ""))

    for place, sample in enumerate(samples):
        image = prints.get(sample.image)
        exact = (image.pixels if image else sample.image, " ".join(words(sample.text)))
        if exact in seen:
            found.append(Duplicate(place, seen[exact], "exact", 1.0))
            continue
        own, sketch = shingles(place), blank.copy()
        sketch.update_batch(list(own))
        near = {other: _jaccard(own, shingles(other)) for other in sorted(index.query(sketch))}
        kept = max(near, key=near.__getitem__, default=place)
        if near.get(kept, 0.0) >= least:
            found.append(Duplicate(place, kept, "near", near[kept]))
        else:
            seen[exact] = place
            index.insert(place, sketch)
    return found


def same_pictures(names: Iterable[str], prints: Mapping[str, Fingerprint]) -> dict[str, str]:
    """For each image the first one that shows the same: itself, the same pixels, or nearly so."""
    by_pixels: dict[str, str] = {}
    seen, first = Pictures(), {}
    for name in dict.fromkeys(filter(None, names)):
        image = prints.get(name)
        if image is None:
            first[name] = name
            continue
        twin = by_pixels.get(image.pixels)
        if twin is None and image.bits is not None:
            near = seen.nearest(image.bits)
            twin = near[0] if near else None
            if near is None:
                seen.add(name, image.bits)
        first[name] = by_pixels[image.pixels] = twin or name
    return first


def _shingles(text: str, picture: str) -> set[bytes]:
    """Runs of words, marked with the picture: texts about different ones share none."""
    said = words(text)
    runs = range(max(1, len(said) - _SHINGLE + 1))
    return {f"{picture}\0{' '.join(said[i : i + _SHINGLE])}".encode() for i in runs}


def _jaccard(a: set[bytes], b: set[bytes]) -> float:
    return len(a & b) / len(a | b)
