"""POPE's questions built from any annotated scenes (Li et al., 2023, arXiv 2305.10355)."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, permutations
from pathlib import Path

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.benchmark import SHORT, Question, required
from llava_jax.evaluation.benchmarks.pope import SPLITS, Pope
from llava_jax.evaluation.failures.scenes import COCO_FILES
from llava_jax.instruct.importers.coco import CocoFiles, read_whole
from llava_jax.instruct.nouns import with_article
from llava_jax.instruct.scene import Scene

SEED = 0
EACH = 3  # things that are there, and things that are not, for each image and split


class ScenePope(Pope):
    """Scored as POPE, on the scenes of a folder in COCO's format that have enough labels."""

    name = "scene-pope"
    files = COCO_FILES

    def load(self, data: Path) -> list[Question]:
        required(data, self.files)
        files = CocoFiles.in_folder(data)
        questions = pope_questions(read_whole(files), files.images, SEED)
        if not questions:
            raise UserError(f"no image of {data} shows {EACH} kinds of things: give other scenes")
        return questions


def pope_questions(scenes: Sequence[Scene], images: Path, seed: int) -> list[Question]:
    """All splits ask about the same things that are there; those that are not differ.

    random: any of the others. popular: those in most images. adversarial: for each thing that is
    there, the one that comes with it most often. Ties: the more frequent, then by the alphabet.
    As in the original, frequencies are those among images of EACH labels or more; asked about are
    those of them where as many are certainly absent.
    """
    labels = {scene.id: sorted({entity.label for entity in scene.entities}) for scene in scenes}
    scenes = [scene for scene in scenes if len(labels[scene.id]) >= EACH]
    shown = [labels[scene.id] for scene in scenes]
    frequent = Counter(chain.from_iterable(shown))
    together = Counter(pair for here in shown for pair in permutations(here, 2))
    rng = random.Random(f"{seed}/pope")
    questions = []
    for scene in scenes:
        absent = sorted((frequent.keys() & set(scene.exhaustive.labels)) - set(labels[scene.id]))
        if len(absent) < EACH:
            continue
        present = rng.sample(labels[scene.id], EACH)
        negatives = (
            rng.sample(absent, EACH),
            sorted(absent, key=lambda label: -frequent[label])[:EACH],
            _adversarial(present, absent, together, frequent),
        )
        for split, missing in zip(SPLITS, negatives, strict=True):
            questions += _questions(scene, images, split, present, missing)
    return questions


def _adversarial(
    present: Iterable[str],
    absent: Sequence[str],
    together: Counter[tuple[str, str]],
    frequent: Counter[str],
) -> list[str]:
    """For each thing that is there, the absent one most often seen with it and not yet taken."""
    taken: list[str] = []
    for thing in present:
        left = [label for label in absent if label not in taken]
        taken.append(max(left, key=lambda label: (together[thing, label], frequent[label])))
    return taken


def _questions(
    scene: Scene, images: Path, split: str, present: Sequence[str], missing: Sequence[str]
) -> list[Question]:
    """In turn one that is there and one that is not."""
    asked = [
        (label, truth)
        for pair in zip(present, missing, strict=True)
        for label, truth in zip(pair, ("yes", "no"), strict=True)
    ]
    return [
        Question(
            id=f"{split}/{scene.id}/{number}",
            prompt=f"Is there {with_article(label)} in the image?{SHORT}",
            images=(images / scene.image,),
            truth=truth,
            cluster=scene.id,
            groups=(split,),
        )
        for number, (label, truth) in enumerate(asked)
    ]
