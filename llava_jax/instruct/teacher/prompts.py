"""The messages that ask a text-only teacher for a response to a scene it cannot see."""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache

from llava_jax.instruct.render.rendering import Rendered
from llava_jax.instruct.render.symbols import render, render_as_paper
from llava_jax.instruct.scene import Modality, Scene
from llava_jax.instruct.teacher.blocks import format_turns
from llava_jax.instruct.teacher.few_shots import embodied, image, space, video
from llava_jax.instruct.teacher.few_shots.example import Example
from llava_jax.instruct.teacher.system import system_message
from llava_jax.instruct.turns import Request
from llava_jax.remote.prompt import Message

ABSENT = 5  # so many labels that are certainly not there are named: enough to ask for one

EXAMPLES: dict[Modality, Sequence[Example]] = {
    "image": image.EXAMPLES,
    "video": video.EXAMPLES,
    "space": space.EXAMPLES,
    "embodied": embodied.EXAMPLES,
}


def messages(
    request: Request, faithful: bool = False, budget: int | None = None
) -> tuple[Message, ...]:
    """A system message, examples as user and assistant in turn, and the scene's symbols.

    faithful: the paper's inputs (conversations see captions only) in place of all that is known.
    budget: estimated tokens that the scene's symbols may take. The prompt says what they leave out,
      unless it is faithful.

    Raises UserError for faithful prompts about a scene that is no image.
    """
    symbols = _symbols(request, faithful, budget)
    head = _head(request.scene.modality, request.response, faithful)
    return (*head, Message("user", symbols))


def prompt_hash(prompt: Sequence[Message]) -> str:
    """SHA-256 (hex) of the messages, as provenance records it."""
    content = json.dumps([asdict(message) for message in prompt], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


@cache
def _head(modality: Modality, response: str, faithful: bool) -> tuple[Message, ...]:
    """All of a prompt that does not depend on the scene."""
    head = [Message("system", system_message(modality, response, faithful))]
    for example in EXAMPLES[modality]:
        if faithful and response == "conversation" and not example.captions_suffice:
            continue
        turns = example.responses[response]
        written = turns[0].answer if response == "detail" else format_turns(turns)
        head.append(Message("user", _symbols(Request(example.scene, response), faithful)))
        head.append(Message("assistant", written))
    return tuple(head)


def _symbols(request: Request, faithful: bool, budget: int | None = None) -> str:
    if faithful:
        return render_as_paper(request.scene, request.response, budget).text
    rendered = render(request.scene, budget)
    certain = _certain(request.scene, rendered, request.seed)
    return "\n\n".join([rendered.text, *([certain] if certain else [])])


def _certain(scene: Scene, rendered: Rendered, seed: int) -> str:
    """What the symbols alone do not tell: where they are complete, and what is not there."""
    exhaustive, present = scene.exhaustive, {entity.label for entity in scene.entities}
    said = []
    if rendered.left_out:
        said.append(f"Left out for length: {', '.join(rendered.left_out)}.")
    else:
        crowds = {entity.label for entity in scene.entities if entity.crowd}
        complete = sorted(present.intersection(exhaustive.labels) - crowds)
        if exhaustive.everything:
            said.append("These notes are complete: nothing else is there.")
        elif complete:
            said.append(f"Every one is listed of: {', '.join(complete)}.")
        if exhaustive.events:
            said.append("All events are listed.")
        if exhaustive.edges:
            said.append("All ways are listed.")
    absent = [label for label in exhaustive.labels if label not in present]
    if absent:
        rng = random.Random(f"{seed}/{scene.id}/absent")
        named = sorted(rng.sample(absent, min(ABSENT, len(absent))))
        said.append(f"Certainly not there: {', '.join(named)}.")
    return " ".join(said)
