"""Samples that give away an evaluation set: by the image's id, its pixels, or the question's words.

Names of images are compared as COCO's are: the number stays, the release before it goes. Names too
short to be anybody's own ("001.jpg") are not compared; pixels are.
"""

import json
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llava_jax.errors import UserError
from llava_jax.instruct.importers.pictures import image_id
from llava_jax.instruct.sets.fingerprints import Fingerprint, Pictures, fingerprints
from llava_jax.instruct.sets.sample import Sample, sample_of, words
from llava_jax.problems import Problems

# Words in a row that two texts share by more than chance. GPT-3 (appendix C) took 13 for documents;
# questions about images have a median of 10 words, and 13 would leave 5 of 6 of them unseen.
GRAM = 8
_SHORTEST_ID = 6  # characters

Way = Literal["image id", "image pixels", "picture", "text"]


@dataclass(frozen=True)
class EvaluationSet:
    """What must not be trained on. prints: of its images, by name."""

    name: str
    samples: tuple[Sample, ...]
    prints: Mapping[str, Fingerprint]


@dataclass(frozen=True)
class Overlap:
    """Sample number `place` of the set and an evaluation share something; evidence: what."""

    place: int
    evaluation: str
    way: Way
    evidence: str


def read_evaluation(path: Path, images: Path | None, problems: Problems) -> EvaluationSet:
    """A JSON list or JSON lines of questions, each with `image` and `text`, as LLaVA's benchmarks.

    `question` or `instruction` (with `output`) may stand for `text`, and LLaVA's records are read
    too. images: the folder of its images, by any release's names; None compares ids alone.
    Raises UserError if there is no such file or folder, or the file holds something else.
    """
    if images is not None and not images.is_dir():
        raise UserError(
            f"{images}, the images of {path.name}, is no folder: give the one they are in"
        )
    try:
        content = path.read_text(encoding="utf-8")
        is_list = content.lstrip().startswith("[")
        lines = json.loads(content) if is_list else map(json.loads, content.splitlines())
        samples = tuple(_question(value, number) for number, value in enumerate(lines))
    except OSError as error:
        raise UserError(f"cannot read the evaluation set {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is not an evaluation set: give a JSON list or JSON lines of objects with "
            f"`image` and `text` ({type(error).__name__}: {error})"
        ) from None
    if not samples:
        raise UserError(f"the evaluation set {path} holds no questions")
    if images is None:
        return EvaluationSet(path.stem, samples, {})
    files = {image_id(file.name): file.name for file in sorted(images.iterdir())}
    names = (files.get(image_id(sample.image), sample.image) for sample in samples)
    return EvaluationSet(path.stem, samples, fingerprints(images, names, problems))


def _question(value: Mapping[str, Any], number: int) -> Sample:
    if "conversations" in value:
        return sample_of(value)
    key = next((key for key in ("question", "instruction") if key in value), "text")
    said = "\n".join(filter(None, (value[key], value.get("output"))))
    return Sample(str(value.get("question_id", value.get("id", number))), said, value["image"])


def find_overlap(
    samples: Sequence[Sample],
    prints: Mapping[str, Fingerprint],
    evaluation: EvaluationSet,
    gram: int = GRAM,
) -> list[Overlap]:
    """Every way in which a sample overlaps with the evaluation, in the set's order.

    Text: `gram` words in a row of one of its questions. Words that are said of several images, in
    the evaluation or in the set, are an instruction's and do not count ("Describe the image ...");
    a question of fewer words can only be found by its image.

    prints: of the samples' images, by name.
    """
    look = _Images(evaluation)
    asked = _said_of_one_image(evaluation.samples, gram)
    shared = _said_of_one_image(samples, gram, among=asked)
    by_image = {
        name: list(look.ways(name, prints.get(name))) for name in {s.image for s in samples}
    }
    found = []
    for place, sample in enumerate(samples):
        ways = list(by_image[sample.image])
        if run := next((run for run in _grams(sample.text, gram) if run in shared), None):
            ways.append(("text", f"question {asked[run]}: {run}"))
        found += [Overlap(place, evaluation.name, way, evidence) for way, evidence in ways]
    return found


class _Images:
    """The evaluation's images, looked up in each of the ways."""

    def __init__(self, evaluation: EvaluationSet):
        names = {sample.image for sample in evaluation.samples if sample.image}
        ids = {image_id(name): name for name in sorted(names)}
        self._ids = {id: name for id, name in ids.items() if len(id) >= _SHORTEST_ID}
        self._pixels = {image.pixels: name for name, image in evaluation.prints.items()}
        self._pictures = Pictures()
        for name, image in evaluation.prints.items():
            if image.bits is not None:
                self._pictures.add(name, image.bits)

    def ways(self, name: str, image: Fingerprint | None) -> Iterator[tuple[Way, str]]:
        if same := self._ids.get(image_id(name)):
            yield "image id", same
        if image is None:
            return
        if same := self._pixels.get(image.pixels):
            yield "image pixels", same
        elif image.bits is not None and (near := self._pictures.nearest(image.bits)):
            yield "picture", f"{near[0]}, {near[1]} of 64 bits apart"


def _said_of_one_image(
    samples: Iterable[Sample], gram: int, among: Container[str] | None = None
) -> dict[str, str]:
    """Runs of words that samples about one image alone hold, each with the id of the first."""
    first: dict[str, Sample] = {}
    several: set[str] = set()
    for sample in samples:
        for run in _grams(sample.text, gram):
            if among is None or run in among:
                other = first.setdefault(run, sample)
                if (other.image or other.id) != (sample.image or sample.id):
                    several.add(run)
    return {run: sample.id for run, sample in first.items() if run not in several}


def _grams(text: str, gram: int) -> Iterator[str]:
    said = words(text)
    return (" ".join(said[start : start + gram]) for start in range(len(said) - gram + 1))


def overlap_lines(overlaps: Sequence[Overlap], samples: Sequence[Sample]) -> list[str]:
    """For people: how many samples overlap with each evaluation in each way, and one of them."""
    counts = Counter((overlap.evaluation, overlap.way) for overlap in overlaps)
    examples = {(overlap.evaluation, overlap.way): overlap for overlap in reversed(overlaps)}
    return [
        f"{evaluation}: {count} by {way}, as {samples[examples[evaluation, way].place].id} "
        f"({examples[evaluation, way].evidence})"
        for (evaluation, way), count in counts.items()
    ]
