"""Reads what a teacher wrote: raw text in, turns or a problem out.

It needs nothing but the text and the request, so raw texts that were kept can be read again. A
detailed description is plain text; every other kind consists of question-answer blocks.
"""

import random
import re
from dataclasses import dataclass

from llava_jax.instruct.teacher.blocks import read_plain, read_turns
from llava_jax.instruct.teacher.wording import DETAIL_QUESTIONS
from llava_jax.instruct.turns import Request, Turn

_REFUSAL = re.compile(r"(?:i.?m sorry|sorry,|i can(?:no|.)t|as an ai\b)", re.IGNORECASE)
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|here is|here.s|\**(?:detailed )?description)\b"
    r"[^\n]*:[ \t*]*\n",
    re.IGNORECASE,
)
_CUT_OFF = "unreadable: the text was cut off before its first turn was whole"


@dataclass(frozen=True)
class Reading:
    """The turns of a raw text, or the problem for which there are none ("unreadable: ...")."""

    turns: tuple[Turn, ...] = ()
    problem: str = ""


def read(request: Request, text: str, cut_off: bool = False) -> Reading:
    """What a teacher wrote in answer to the request.

    cut_off: it ran out of tokens (the finish reason "length"), so its last turn is not whole.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        return Reading(problem="unreadable: the text is empty")
    if _REFUSAL.match(text):
        return Reading(problem=f"unreadable: the teacher declines ({text[:60]!r})")
    if request.response == "detail":
        return _read_detail(request, text, cut_off)
    turns = read_turns(text, cut_off)
    if not turns:
        nothing = f"unreadable: no question with its answer in a text that begins {text[:60]!r}"
        return Reading(problem=_CUT_OFF if cut_off else nothing)
    # One pair is the form of every kind of reasoning; what a chatty model adds is not asked for.
    return Reading(turns if request.response == "conversation" else turns[:1])


def _read_detail(request: Request, text: str, cut_off: bool) -> Reading:
    """Plain text; its question is drawn by the request's seed."""
    if cut_off:
        return Reading(problem=_CUT_OFF)
    turns = read_turns(text)
    if len(turns) > 1:
        return Reading(problem="unreadable: a conversation where a description was asked for")
    answer = turns[0].answer if turns else read_plain(_PREAMBLE.sub("", text, count=1))
    if not answer:
        return Reading(problem="unreadable: no description in the text")
    rng = random.Random(f"{request.seed}/{request.scene.id}/detail")
    question = rng.choice(DETAIL_QUESTIONS[request.scene.modality])
    return Reading((Turn(question, answer),))
