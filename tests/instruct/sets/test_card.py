import json
from dataclasses import replace

from llava_jax.instruct.sets.card import card
from llava_jax.instruct.sets.provenance import Provenance, provenance_of
from llava_jax.instruct.sets.report import Overlaps, Report, Step, report_of
from llava_jax.instruct.turns import Request
from tests.instruct.drawn import scene_of
from tests.instruct.sets.test_provenance import ANSWERED, SILENT, finding


def rows() -> list[Provenance]:
    kept = provenance_of(ANSWERED, [finding("objects", "pass"), finding("objects", "unknown")])
    failed = provenance_of(ANSWERED, [finding("objects", "fail"), finding("counts", "pass")])
    other = scene_of(("cat", 0.5, 0.5), id="2", source="a|b", license="CC BY 4.0")
    video = replace(ANSWERED, request=Request(replace(other, modality="video"), "temporal"))
    twin = replace(kept, dropped="near duplicate: of 1-detail")
    return [kept, failed, provenance_of(SILENT, []), provenance_of(video, []), twin]


STEPS = [Step("near duplicates", "0.8 of runs of 3 words", 3, 2)]
OVERLAPS = [Overlaps("qa90", 1, ("qa90: 1 by text, as 1-detail (<b>what</b>)",))]


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n\n")[1].split("\n\n## ")[0].strip()


def test_the_report_counts_the_rows() -> None:
    report = report_of(rows(), STEPS, OVERLAPS)
    assert (report.asked, report.samples) == (5, 2)
    assert report.responses == {"detail": 1, "temporal": 1}
    assert report.sources == {("a|b", "CC BY 4.0"): 1, ("test", "none"): 1}
    assert report.verdicts == {
        "objects": {"pass": 2, "unknown": 2, "fail": 1},
        "counts": {"pass": 1},
    }
    assert report.dropped == {"objects": 1, "near duplicate": 1}
    assert report.problems == {"unreadable": 1}
    assert (report.usage.prompt_tokens, report.usage.usd) == (400, 2.0)
    stored = json.loads(json.dumps(report.to_dict()))
    assert stored["samples"] == 2
    assert stored["sources"][0] == {"source": "a|b", "license": "CC BY 4.0", "scenes": 1}
    assert stored["overlaps"][0]["evaluation"] == "qa90"


def test_the_card_says_what_was_counted() -> None:
    text = card(report_of(rows(), STEPS, OVERLAPS), "My set")
    front = text.split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert json.loads(fields["pretty_name"]) == "My set"
    assert json.loads(fields["license"]) == "other"
    assert json.loads(fields["license_name"]) == "CC BY 4.0; none"
    assert json.loads(fields["size_categories"]) == ["n<1K"]
    assert json.loads(fields["task_categories"]) == ["image-text-to-text", "video-text-to-text"]
    assert json.loads(fields["configs"])[0]["data_files"] == "instructions.json"
    assert "2 samples in LLaVA's record format" in text
    assert section(text, "Samples").splitlines()[2:] == ["| detail | 1 |", "| temporal | 1 |"]
    assert r"| a\|b | CC BY 4.0 | 1 |" in section(text, "Sources")
    assert section(text, "Teacher").endswith("400 prompt tokens, 80 answer tokens, 2.00 USD.")
    assert "| objects | 5 | 2 (40.0%) | 2 (40.0%) | 0 (0.0%) | 1 (20.0%) |" in text
    assert "| near duplicates | 0.8 of runs of 3 words | 3 | 2 |" in text
    assert r"\<b\>what\</b\>" in section(text, "Overlap with evaluation sets")
    limits = section(text, "Limitations")
    assert "Of 6 claims" in limits and "2 (33.3%)" in limits
    assert "1 of 5 responses were dropped: near duplicate." in limits
    assert "1 of 5 responses had no usable text: unreadable." in limits
    assert "not looked for" not in limits


def test_what_was_not_done_is_said_or_left_out() -> None:
    report = report_of([replace(rows()[0], verdicts={}, license="CC BY-SA 4.0")])
    text = card(report, "x")
    assert 'license: "cc-by-sa-4.0"\n' in text and "license_name" not in text
    assert "## Filters" not in text and "## Grounding" not in text
    assert "No claim was checked" in text and "was not looked for" in text


def test_sizes_are_the_hubs() -> None:
    empty = report_of([])
    for samples, size in ((999, "n<1K"), (1000, "1K<n<10K"), (2 * 10**6, "n>1M")):
        many: Report = replace(empty, responses={"detail": samples})
        assert f'size_categories: ["{size}"]\n' in card(many, "x")
