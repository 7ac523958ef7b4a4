"""Writing that is said to be read in the image."""

import re
from collections.abc import Sequence

from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.grounding.statements import read_statements
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

RULE = "regions"
_READ = re.compile(
    r"\b(?:says?|saying|reads?|reading|words?|letters?|written|labell?ed|spells?|displays?|text|"
    r"inscription|titled|marked|named?)\b[^.!?\"“'\u2018]{0,30}[\"“'\u2018](?P<quote>[^\"”]{1,80}?)[\"”'\u2019](?!\w)",
    re.IGNORECASE,
)


def regions(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Judges quoted writing by the texts read in the image ("ocr"), where there are any.

    No data set annotates all writing: what is not among it is for a person to look at.
    """
    read = [text.text for text in scene.texts if text.kind == "ocr"]
    if not read:
        return []
    written = _letters(" ".join(read))
    others = _letters(" ".join(text.text for text in scene.texts))
    findings = []
    for statement in read_statements(turns):
        for found in _READ.finditer(statement.text):
            start, end = found.span("quote")
            quote = _letters(found["quote"])
            known = quote in written or quote in others
            verdict: Verdict = "pass" if known else "warn"
            evidence = f"read in the image: {', '.join(read[:5])}"
            findings.append(statement.finding(RULE, verdict, start, end, evidence))
    return findings


def _letters(text: str) -> str:
    """Letters and digits alone: signs break words over lines."""
    return re.sub(r"\W+", "", text).lower()
