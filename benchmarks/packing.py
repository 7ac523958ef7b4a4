"""How many of a batch's positions hold tokens: packed, one sample a row, and grouped as LLaVA does.

  python benchmarks/packing.py --data=DIR --out=docs/packing.json

The lengths are those of instruction_mixture.py. Prints a table and leaves it beside a plot of the
same name. "bound", where less than 95% is reached, is what no packing of whole samples into such
rows can pass; "slots" the share of image slots that hold an image, the others being tower work for
nothing.
"""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from llava_jax import launching

if TYPE_CHECKING:
    from instruction_mixture import Mixture

    from llava_jax.data.plan import Plan
    from llava_jax.data.survey import Survey

_DATA = flags.DEFINE_string("data", None, "Folder of the real texts.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_RECORDS = flags.DEFINE_integer("records", 100_000, "Records drawn.")
_WHOLE = 665_298  # records of mix-665K
_SHAPES = (
    *((2048, slots) for slots in (2, 3, 4, 5, 6)),
    *((3072, 4), (4096, 5), (4096, 6), (8192, 10)),
)
_SAMPLE = 2048  # tokens, at which samples are cut whatever the row
_DEVICES, _PER_DEVICE = 8, 16  # of the original's stage 2
_GOAL = 0.95  # below it, what could be reached is worked out as well
_KNOWN = 2000  # rows that the working out starts from
_POOL = 1000  # conversations of each part that are encoded


def main() -> None:
    from instruction_mixture import draw_mixture, mixture_parts

    from llava_jax.data.samples import ConversationEncoder
    from llava_jax.text.templates import get_template
    from llava_jax.text.tokenizer import Tokenizer

    data = Path(_DATA.value).expanduser()
    tokenizer = Tokenizer.from_folder(data / "tokenizer")
    parts = mixture_parts(data)

    def drawn(parts: list, image_tokens: int) -> "Mixture":
        encode = ConversationEncoder(
            get_template("vicuna_v1"), tokenizer, image_tokens, max_length=_SAMPLE
        )
        return draw_mixture(parts, encode, _RECORDS.value, pool=_POOL, seed=0)

    mixture = drawn(parts, 576)
    report: dict[str, Any] = {
        "records": _RECORDS.value,
        "mean_tokens": round(float(mixture.survey.lengths.mean()), 1),
        "one_sample_a_row": round(float(mixture.survey.lengths.mean()) / _SAMPLE, 4),
        "grouped_as_the_original": _grouped(mixture),
        "packed": [_packed(mixture, *shape) for shape in _SHAPES],
        # LLaVA-1.0: its three parts, 256 tokens an image
        "packed_llava_1_0": _packed(drawn(parts[:3], 256), 2048, 6),
    }
    Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")
    _plot(report, Path(_OUT.value).with_suffix(".png"))
    print(_table(report))


def _packed(mixture: "Mixture", length: int, slots: int) -> dict[str, Any]:
    """The plan of one epoch: its fill beside the bound, and the time it took."""
    from llava_jax.data.plan import BatchShape, make_plan

    found = mixture.survey
    start = time.monotonic()
    plan = make_plan(
        [found], [None], BatchShape(1, length, slots), seed=0, epochs=1.0, pack_rows=True
    )
    seconds = time.monotonic() - start
    # More slots than the shortest samples could fill change nothing: the bound is that of fewer.
    open_question = plan.fill < _GOAL and slots <= length // found.lengths[found.images > 0].min()
    return {
        "length": length,
        "slots": slots,
        "useful": round(plan.fill, 4),
        "bound": round(_bound(found, plan, length, slots), 4) if open_question else None,
        "slots_used": round(float(found.images.sum()) / (plan.rows * slots), 4),
        "samples_a_row": round(len(found) / plan.rows, 2),
        "rows_per_second": round(plan.rows / seconds),
        "seconds_for_665k": round(seconds * _WHOLE / len(found), 1),
    }


def _bound(found: "Survey", plan: "Plan", length: int, slots: int) -> float:
    from packing_bound import best_fill

    rows = [plan.row(number) for number in range(min(plan.rows, _KNOWN))]
    return best_fill(found.lengths, found.images, rows, length=length, slots=slots)


def _grouped(mixture: "Mixture") -> dict[str, float]:
    """The original's batches: each device's padded to its longest sample; and all devices'."""
    import numpy as np

    from llava_jax.data.grouping import group_by_modality_and_length

    found = mixture.survey
    words = np.where(found.images > 0, mixture.words, -mixture.words)
    permute = np.random.default_rng(0).permutation
    order = group_by_modality_and_length(words, _PER_DEVICE, _DEVICES, permute)
    whole = len(order) - len(order) % (_PER_DEVICE * _DEVICES)
    lengths = found.lengths[order[:whole]].astype(np.int64)

    def useful(batch: int) -> float:
        padded = lengths.reshape(-1, batch).max(1).sum() * batch
        return round(float(lengths.sum() / padded), 4)

    return {"device_batch": useful(_PER_DEVICE), "global_batch": useful(_PER_DEVICE * _DEVICES)}


def _table(report: dict[str, Any]) -> str:
    lines = [
        f"{report['records']} records of {report['mean_tokens']} tokens",
        "| rows | useful % | bound % | slots % | samples a row | rows/s | 665K planned in |",
        "| :-- | --: | --: | --: | --: | --: | --: |",
        _line("one sample a row of 2048", report["one_sample_a_row"]),
    ]
    grouped = report["grouped_as_the_original"]
    lines += [
        _line("grouped as the original, 16 padded to their longest", grouped["device_batch"]),
        _line("the same, where 8 devices wait for the longest", grouped["global_batch"]),
    ]
    for row in report["packed"]:
        lines.append(_packed_line(f"packed: {row['length']}, {row['slots']} images", row))
    row = report["packed_llava_1_0"]
    lines.append(_packed_line("LLaVA-1.0's 158K, packed: 2048, 6 images of 256", row))
    return "\n".join(lines)


def _line(name: str, useful: float) -> str:
    return f"| {name} | {useful:.1%} | | | | | |".replace("%", "")


def _packed_line(name: str, row: dict[str, Any]) -> str:
    shares = " | ".join(
        "" if row[key] is None else f"{100 * row[key]:.1f}"
        for key in ("useful", "bound", "slots_used")
    )
    return (
        f"| {name} | {shares} | {row['samples_a_row']} | {row['rows_per_second']} | "
        f"{row['seconds_for_665k']:.0f} s |"
    )


def _plot(report: dict[str, Any], path: Path) -> None:
    import matplotlib.pyplot as plt

    packed = report["packed"]
    grouped = report["grouped_as_the_original"]
    names = ["one a row: 2048", "original's groups"]
    useful = [report["one_sample_a_row"], grouped["device_batch"]]
    names += [f"packed: {row['length']}, {row['slots']} images" for row in packed]
    useful += [row["useful"] for row in packed]
    places = range(len(names))
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    bars = axes.barh(places, [100 * share for share in useful], color="C0")
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    bounds = {y: 100 * row["bound"] for y, row in enumerate(packed, start=2) if row["bound"]}
    axes.plot(list(bounds.values()), list(bounds), "k|", markersize=14, label="no packing passes")
    axes.axvline(95, color="C3", linewidth=0.8, label="95%")
    axes.set(xlabel="positions that hold tokens, %", xlim=(0, 108))
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    launching.run(main)
