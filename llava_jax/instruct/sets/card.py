"""A data set's card for people: Markdown below Hugging Face's front matter.

It says what the report counted and what follows from it, and nothing else.
"""

import json
import re
from collections.abc import Iterator, Mapping

from llava_jax.instruct.sets.report import Report
from llava_jax.markdown import plain, table

_TASKS = {"image": "image-text-to-text", "video": "video-text-to-text"}  # the hub's names
_HUB_LICENSES = re.compile(r"mit|apache-2\.0|cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.[05]")
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}
_VERDICTS = ("pass", "unknown", "warn", "fail")


def card(report: Report, name: str, data_file: str = "instructions.json") -> str:
    """name: what the set is called. data_file: its LLaVA JSON, beside the card."""
    sections = {
        "Samples": table(["response", "samples"], _counted(report.responses)),
        "Sources": table(
            ["source", "licence", "scenes"],
            [[source, license, f"{n:,}"] for (source, license), n in report.sources.items()],
        ),
        "Teacher": _teacher(report),
        "Grounding checks": _verdicts(report),
        "Filters": table(
            ["filter", "settings", "before", "after"],
            [[s.name, s.settings, f"{s.before:,}", f"{s.after:,}"] for s in report.steps],
        ),
        "Overlap with evaluation sets": _overlaps(report),
        "Limitations": "\n".join(f"- {sentence}" for sentence in _limitations(report)),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    intro = f"{report.samples:,} samples in LLaVA's record format, `{data_file}`."
    return f"{_front_matter(report, name, data_file)}\n# {plain(name)}\n\n{intro}\n\n{body}\n"


def _front_matter(report: Report, name: str, data_file: str) -> str:
    """YAML, whose strings JSON's are."""
    licenses = sorted({license for _, license in report.sources})
    hub = licenses[0].lower().replace(" ", "-") if len(licenses) == 1 else ""
    known = bool(_HUB_LICENSES.fullmatch(hub))
    size = next((name for most, name in _SIZES.items() if report.samples < most), "n>1M")
    tasks = [task for modality, task in _TASKS.items() if modality in report.modalities]
    fields = {
        "pretty_name": name,
        "license": hub if known else "other",
        **({} if known else {"license_name": "; ".join(licenses)}),
        "size_categories": [size],
        **({"task_categories": tasks} if tasks else {}),
        "configs": [{"config_name": "default", "data_files": data_file}],
    }
    lines = (f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items())
    return "\n".join(["---", *lines, "---", ""])


def _teacher(report: Report) -> str:
    usage = report.usage
    rows = table(["teacher", "responses asked for"], _counted(report.teachers))
    spent = (
        f"{usage.prompt_tokens:,} prompt tokens, {usage.answer_tokens:,} answer tokens, "
        f"{usage.usd:.2f} USD."
    )
    return f"{rows}\n\n{spent}" if usage.prompt_tokens or usage.answer_tokens else rows


def _verdicts(report: Report) -> str:
    rows = []
    for rule, counts in report.verdicts.items():
        claims = sum(counts.values())
        shares = [f"{counts.get(v, 0):,} ({counts.get(v, 0) / claims:.1%})" for v in _VERDICTS]
        rows.append([rule, f"{claims:,}", *shares])
    return table(["rule", "claims", *_VERDICTS], rows)


def _overlaps(report: Report) -> str:
    lines = []
    for overlap in report.overlaps:
        lines.append(f"- {plain(overlap.evaluation)}: {overlap.samples:,} samples overlapped.")
        lines += [f"  - {plain(line)}" for line in overlap.lines]
    return "\n".join(lines)


def _limitations(report: Report) -> Iterator[str]:
    yield "Answers were written from symbols (captions, boxes, relations); no teacher saw pixels."
    claims = sum(sum(counts.values()) for counts in report.verdicts.values())
    unknown = sum(counts.get("unknown", 0) for counts in report.verdicts.values())
    if unknown:
        yield (
            f"Of {claims:,} claims that the checks read, the annotation neither confirms nor "
            f"contradicts {unknown:,} ({unknown / claims:.1%}); they were kept."
        )
    if not claims:
        yield "No claim was checked against the annotation."
    if not report.overlaps:
        yield "Overlap with evaluation sets was not looked for."
    for reason, count in report.dropped.items():
        yield f"{count:,} of {report.asked:,} responses were dropped: {plain(reason)}."
    for reason, count in report.problems.items():
        yield f"{count:,} of {report.asked:,} responses had no usable text: {plain(reason)}."
    if len(report.sources) > 1:
        yield "Sources have licences of their own (see above); each sample's provenance names its."


def _counted(counts: Mapping[str, int]) -> list[list[str]]:
    return [[name, f"{count:,}"] for name, count in counts.items()]
