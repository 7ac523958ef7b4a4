"""One HTML page that shows scenes beside what a teacher wrote of them and what the checks say.

It stands alone (pictures inside, no script) and holds what others wrote as text only: everything is
escaped, and its policy forbids the browser scripts and requests.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from llava_jax.images import ImageError, load_image
from llava_jax.instruct.grounding.finding import Finding, Verdict
from llava_jax.instruct.scene import Box, Scene
from llava_jax.instruct.turns import Turn
from llava_jax.page import jpeg, whole_page
from llava_jax.run_folder import RunFolder, write_whole

_SIDE = 320  # pixels: no picture is larger
_VERDICTS: tuple[Verdict, ...] = (
    "pass",
    "unknown",
    "warn",
    "fail",
)  # from the least to the most serious


@dataclass(frozen=True)
class PreviewItem:
    """symbols: the scene as the teacher read it. problem: why there are no turns."""

    scene: Scene
    symbols: str
    turns: tuple[Turn, ...]
    findings: tuple[Finding, ...] = ()
    problem: str = ""


def write_preview(path: RunFolder, items: Sequence[PreviewItem], images: Path | None) -> None:
    """images: the folder of the scenes' images; None shows symbols alone."""
    write_whole(path, preview(items, images).encode(errors="replace"))  # half a surrogate pair


def preview(items: Sequence[PreviewItem], images: Path | None) -> str:
    """The page."""
    counts = Counter(finding.verdict for item in items for finding in item.findings)
    legend = " ".join(f'<mark class="{v}">{v} {counts[v]:,}</mark>' for v in _VERDICTS)
    cards = "\n".join(_card(item, images) for item in items)
    intro = (
        f"<h1>Instruction data: {len(items):,} samples</h1>\n"
        f"<p>Claims that were checked: {legend}. Point at one to see its evidence.</p>"
    )
    return whole_page("Preview of instruction data", _STYLE, f"{intro}\n{cards}")


def _card(item: PreviewItem, images: Path | None) -> str:
    scene = item.scene
    shown = images is not None and scene.modality == "image"
    picture = _picture(scene, images / scene.image) if shown and images else ""
    problem = f'<p class="problem">{escape(item.problem)}</p>' if item.problem else ""
    origin = f"{scene.modality} from {scene.source}, {scene.license}"
    return (
        f'<section><h2>{escape(scene.id)} <small>{escape(origin)}</small></h2><div class="row">'
        f"<div>{picture}<details{'' if picture else ' open'}><summary>symbols</summary>"
        f"<pre>{escape(item.symbols)}</pre></details></div>"
        f'<div class="said">{problem}{"".join(_turns(item))}</div></div></section>'
    )


def _picture(scene: Scene, path: Path) -> str:
    try:
        image = load_image(path)
    except ImageError as error:
        why = f"no picture: {error.reason}\n{scene.image}"
        return f'<p class="missing">{escape(why)}</p>'
    url, (width, height) = jpeg(image, _SIDE)
    boxes = "".join(
        _box(entity.label, entity.place, width, height)
        for entity in scene.entities
        if isinstance(entity.place, Box)
    )
    return (
        f'<svg width="{width}" height="{height}">'
        f'<image href="{url}" width="{width}" height="{height}"/>'
        f"{boxes}</svg>"
    )


def _box(label: str, box: Box, width: int, height: int) -> str:
    """A rectangle in its label's colour, which is the same on every page."""
    color = f"hsl({zlib.crc32(label.encode()) % 360} 90% 45%)"
    x, y = box.x1 * width, box.y1 * height
    size = f'width="{(box.x2 - box.x1) * width:.1f}" height="{(box.y2 - box.y1) * height:.1f}"'
    name = escape(label)
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" {size} stroke="{color}"><title>{name}</title></rect>'
        f'<text x="{x + 3:.1f}" y="{y + 12:.1f}" fill="{color}">{name}</text>'
    )


def _turns(item: PreviewItem) -> Iterator[str]:
    for number, turn in enumerate(item.turns):
        for part, text in (("question", turn.question), ("answer", turn.answer)):
            spans = [
                finding
                for finding in item.findings
                if (finding.span.turn, finding.span.part) == (number, part)
            ]
            yield f'<p class="{part}">{_marked(text, spans)}</p>'


def _marked(text: str, findings: Sequence[Finding]) -> str:
    """Its claims coloured; where they overlap, by the gravest verdict and with all evidence."""
    ends = {0, len(text)}
    for finding in findings:
        ends |= {min(finding.span.start, len(text)), min(finding.span.end, len(text))}
    places = sorted(ends)
    pieces = []
    for start, end in pairwise(places):
        piece = escape(text[start:end])
        if here := [f for f in findings if f.span.start <= start and end <= f.span.end]:
            gravest = max((finding.verdict for finding in here), key=_VERDICTS.index)
            evidence = "\n".join(f"{f.verdict} ({f.rule}): {f.evidence}" for f in here)
            piece = f'<mark class="{gravest}" title="{escape(evidence)}">{piece}</mark>'
        pieces.append(piece)
    return "".join(pieces)


_STYLE = """
.row { display: flex; flex-wrap: wrap; gap: 1.4rem; }
.row > div { flex: 0 0 320px; min-width: 0; }
.row > .said { flex: 1 1 24rem; }
svg { display: block; border-radius: 4px; }
rect { fill: none; stroke-width: 2; }
text { font: bold 11px sans-serif; paint-order: stroke; stroke: #fff; stroke-width: 3px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }
summary { color: #6a7385; cursor: pointer; }
.question { margin: .8rem 0 .2rem; color: #6a7385; white-space: pre-wrap; }
.answer { margin: 0; white-space: pre-wrap; }
.problem { margin: 0; color: #cc3344; }
.missing { margin: 0 0 .6rem; padding: 3rem 1rem; border: 2px dashed #d5d9e2; color: #cc3344;
  text-align: center; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { padding: 0 .15em; border-radius: 3px; color: inherit; }
.pass { background: #cfeeda; }
.unknown { background: #e3e6ee; }
.warn { background: #ffe9ab; }
.fail { background: #ffc9cd; }
"""
