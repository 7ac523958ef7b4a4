"""Question-answer blocks, as a teacher shall write them and as real models do.

    Question:
    ...
    ===
    Answer:
    ...
    ===

is the paper's form. Marks in bold, numbered, shortened or missing are understood where one
reading is left; half a turn is dropped, and nothing is made up.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal

from llava_jax.instruct.turns import Turn

SEPARATOR = "==="
# "Question:", "**Q2:**", "### Answer 1.", "3) Question:", "A:", ...
_MARK = re.compile(
    r"^[ \t>#*_\-•]*(?:\d+[.)][ \t*_]*)?(?P<who>question|answer|q|a)[ \t]*"
    r"(?:\d+[ \t]*\**[:.)]|\**[ \t]*:)\**[ \t]*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[ \t*]*\d+[.)][ \t*]*")
_RULE = re.compile(r"[ \t]*(?:={3,}|-{3,}|\*{3,}|_{3,}|`{3,}\w*)[ \t]*")
_SEPARATORS = re.compile(r"[ \t]*={3,}[ \t]*|^[ \t]*==[ \t]*$", re.MULTILINE)
_ANSWER_BEHIND_QUESTION = re.compile(
    r"(?<=\?)[ \t*]+(?=(?:answer|a)[ \t]*\d*[ \t]*\**:)", re.IGNORECASE
)


def format_turns(turns: Sequence[Turn]) -> str:
    """Turns as a teacher shall write them: what `read_turns` reads."""
    return f"\n{SEPARATOR}\n".join(
        f"Question:\n{turn.question}\n{SEPARATOR}\nAnswer:\n{turn.answer}" for turn in turns
    )


def read_turns(text: str, cut_off: bool = False) -> tuple[Turn, ...]:
    """The question-answer blocks of a text, however they are marked."""
    blocks = _blocks(text)
    if cut_off and blocks and not blocks[-1].closed and blocks.pop().who == "answer":
        blocks.pop()  # its question
    turns = []
    for block, after in zip_longest(blocks, blocks[1:]):
        if block.who == "question":
            answered = after and after.who == "answer"
            question, answer = (block.text, after.text) if answered else block.halves
            if question and answer:
                turns.append(Turn(question, answer))
    return tuple(turns)


def read_plain(text: str) -> str:
    """A text that is no block, without a mark before it or rules around it."""
    mark = _MARK.match(text)
    return _Block("answer", text[mark.end() if mark else 0 :].split("\n")).text


@dataclass
class _Block:
    """What stands behind one mark; closed: another mark or a separator ended it."""

    who: str  # "question" or "answer"
    lines: list[str] = field(default_factory=list)
    closed: bool = False

    @property
    def text(self) -> str:
        lines = [line for line in self.lines if not _RULE.fullmatch(line)]
        text = "\n".join(lines).strip()
        if self.who == "question" and re.fullmatch(r"\*\*[^*]+\*\*", text):
            text = text[2:-2]
        if text.endswith("**") and text.count("**") % 2:  # the mark's own asterisks
            text = text[:-2]
        return text.strip()

    @property
    def halves(self) -> tuple[str, str]:
        """Of a question that no mark answers: up to a line that ends with "?", and the rest."""
        question, mark, answer = self.text.partition("?\n")
        return question + mark.strip(), answer.strip()


def _blocks(text: str) -> list[_Block]:
    """What is marked as question or answer, in order; what stands before, between, after is left.

    An answer's mark counts only behind a question, where it may also be missing if a separator
    stands in its place.
    """
    blocks: list[_Block] = []
    for line in _marked(_lines(text)):
        asked = bool(blocks) and blocks[-1].who == "question"
        who = _marks(line)
        if who == "question" or (who == "answer" and asked):
            if blocks:
                blocks[-1].closed = True
            blocks.append(_Block(who, [_MARK.sub("", line, count=1)]))
        elif line == SEPARATOR:
            if blocks and blocks[-1].text:
                blocks[-1].closed = True
        elif blocks and not blocks[-1].closed:
            blocks[-1].lines.append(line)
        elif asked and line.strip():
            blocks.append(_Block("answer", [line]))
    return blocks


def _lines(text: str) -> list[str]:
    """One mark or separator a line at most."""
    text = _ANSWER_BEHIND_QUESTION.sub("\n", text)
    return _SEPARATORS.sub(f"\n{SEPARATOR}\n", text).split("\n")


def _marked(lines: list[str]) -> list[str]:
    """Marks questions where none is: lines that end with "?" and are numbered or answered."""
    if any(_marks(line) == "question" for line in lines):
        return lines
    marked = []
    for number, line in enumerate(lines):
        after = next((line for line in lines[number + 1 :] if line.strip()), "")
        numbering = _NUMBER.match(line)
        if line.rstrip(" \t*").endswith("?") and (numbering or _marks(after) == "answer"):
            line = f"Question: {line[numbering.end() if numbering else 0 :]}"
            marked += [line, SEPARATOR]
        else:
            marked.append(line)
    return marked


def _marks(line: str) -> Literal["question", "answer", ""]:
    """What a line is marked as."""
    mark = _MARK.match(line)
    return "" if not mark else "question" if mark["who"][0] in "qQ" else "answer"
