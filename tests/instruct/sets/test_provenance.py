import json
from dataclasses import replace
from pathlib import Path

from llava_jax.instruct.grounding.finding import Finding, Span, Verdict
from llava_jax.instruct.sets.provenance import provenance_of, write_provenance
from llava_jax.instruct.turns import Request, Response, Turn, Usage
from tests.instruct.drawn import scene_of

SCENE = scene_of(("dog", 0.5, 0.5))
ANSWERED = Response(
    Request(SCENE, "detail"),
    (Turn("What is there?", "A dog and a cat."),),
    teacher="gpt",
    prompt_hash="abc",
    usage=Usage(100, 20, 0.5),
)
SILENT = Response(Request(SCENE, "complex"), (), "gpt", problem="unreadable: no 'Answer:'")


def finding(rule: str, verdict: Verdict, text: str = "cat") -> Finding:
    return Finding(rule, verdict, Span(0, "answer", 12, 15), text, "no cat is annotated")


def test_what_a_response_leaves_behind(tmp_path: Path) -> None:
    found = [
        finding("objects", "pass"),
        finding("objects", "fail"),
        finding("objects", "pass"),
        finding("counts", "unknown"),
    ]
    rows = [provenance_of(ANSWERED, found), provenance_of(SILENT, [])]
    assert not rows[0].kept and not rows[1].kept
    write_provenance(tmp_path / "provenance.jsonl", rows)
    first, second = map(json.loads, (tmp_path / "provenance.jsonl").read_text().splitlines())
    assert first == {
        "id": "1-detail",
        "scene": "1",
        "image": "1.jpg",
        "modality": "image",
        "source": "test",
        "license": "none",
        "response": "detail",
        "teacher": "gpt",
        "prompt_hash": "abc",
        "turns": 1,
        "verdicts": {"objects": {"pass": 2, "fail": 1}, "counts": {"unknown": 1}},
        "usage": {"prompt_tokens": 100, "answer_tokens": 20, "usd": 0.5},
        "problem": "",
        "dropped": "objects: 'cat': no cat is annotated",
    }
    assert (second["turns"], second["problem"]) == (0, "unreadable: no 'Answer:'")


def test_kept_until_something_drops_it() -> None:
    row = provenance_of(ANSWERED, [finding("objects", "warn"), finding("objects", "unknown")])
    assert row.kept and not replace(row, dropped="near duplicate: of 7-detail").kept


def test_half_a_surrogate_pair_survives(tmp_path: Path) -> None:
    path = tmp_path / "provenance.jsonl"
    write_provenance(path, [provenance_of(replace(SILENT, problem="garbage: \ud83d é"), [])])
    assert json.loads(path.read_text(encoding="utf-8"))["problem"] == "garbage: \ud83d é"
