"""Where each sample comes from and what became of it: the lines of provenance.jsonl."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from llava_jax.instruct.grounding.finding import Finding
from llava_jax.instruct.scene import Modality
from llava_jax.instruct.turns import Response, Usage
from llava_jax.run_folder import RunFolder, write_whole


@dataclass(frozen=True)
class Provenance:
    """One response that was asked for.

    verdicts: how many claims each rule gave each verdict. problem: why there are no turns, "class:
    words". dropped: why the sample is not in the set, "filter: words"; "" of those that are in it.
    """

    id: str
    scene: str
    image: str
    modality: Modality
    source: str
    license: str
    response: str
    teacher: str
    prompt_hash: str
    turns: int
    verdicts: Mapping[str, Mapping[str, int]]
    usage: Usage
    problem: str = ""
    dropped: str = ""

    @property
    def kept(self) -> bool:
        return bool(self.turns) and not self.problem and not self.dropped


def provenance_of(response: Response, findings: Sequence[Finding]) -> Provenance:
    """Of a response and what the grounding checks found; the first claim that fails drops it.

    Later filters set `dropped` of those that are kept so far (dataclasses.replace).
    """
    request, scene = response.request, response.request.scene
    verdicts: dict[str, Counter[str]] = {}
    for finding in findings:
        verdicts.setdefault(finding.rule, Counter())[finding.verdict] += 1
    failed = next((finding for finding in findings if finding.verdict == "fail"), None)
    return Provenance(
        id=request.id,
        scene=scene.id,
        image=scene.image,
        modality=scene.modality,
        source=scene.source,
        license=scene.license,
        response=request.response,
        teacher=response.teacher,
        prompt_hash=response.prompt_hash,
        turns=len(response.turns),
        verdicts={rule: dict(counts) for rule, counts in verdicts.items()},
        usage=response.usage,
        problem=response.problem,
        dropped=f"{failed.rule}: {failed.text!r}: {failed.evidence}" if failed else "",
    )


def write_provenance(path: RunFolder, rows: Iterable[Provenance]) -> None:
    """One JSON object a line, whole or not at all."""
    lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
    # A lone surrogate, which JSON can hold and UTF-8 cannot, stays the escape that it came as.
    write_whole(path, "".join(lines).encode(errors="backslashreplace"))
