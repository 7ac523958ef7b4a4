"""Judged runs end to end, against a chat API on this machine that judges well or badly."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation.benchmarks.llava_bench import LLAVA_BENCH_WILD
from llava_jax.evaluation.judge.asking import Judge, Method, family_and_model, judge_items
from llava_jax.evaluation.judge.canaries import LEAST, canaries
from llava_jax.evaluation.judge.judgement import Item
from llava_jax.evaluation.judge.pairwise import Pairwise
from llava_jax.evaluation.judge.pointwise import PaperRules, Pointwise
from llava_jax.evaluation.judge.relative import relative_scores, win_rates
from llava_jax.evaluation.judge.run import Families, JudgeRun, panel_report, run_judge
from llava_jax.evaluation.judge.verdicts import UNREAD
from llava_jax.remote.budget import Budget
from llava_jax.remote.endpoint import Endpoint
from llava_jax.remote.store import AnswerStore
from tests.evaluation.benchmarks.test_llava_bench import small_set
from tests.evaluation.judge.items import made_items
from tests.remote.loopback import Body, Loopback, Reply, Script

FAMILIES = Families("pocket", "openai", training=("openai",))
Marker = Callable[[str, str, str], float]  # picture, answer, place -> mark


def honest(picture: str, answer: str, place: str) -> float:
    """True words earn marks, those of another picture none."""
    said, about = answer.count("true"), f"Truth {picture}:" in answer
    return 1.0 + 2 * min(said, 4) * about + 2 * answer.startswith("Guess")


def marking(mark: Marker, say: Callable[[float, float], str]) -> Script:
    """A server that reads our prompts."""

    def reply(body: Body, times: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        picture = re.search(r"in picture (\d+)\?", prompt)[1]
        first, second = re.findall(r"<answer \d>\n(.*?)\n</answer", prompt, re.DOTALL)
        return Reply(say(mark(picture, first, "first"), mark(picture, second, "second")))

    return reply


def as_json(first: float, second: float) -> str:
    return json.dumps({"scores": [first, second], "reason": "as told"})


def run(
    script: Script,
    folder: Path,
    items: list[Item],
    method: Method | None = None,
    family: str = "qwen",
) -> tuple[JudgeRun, Loopback]:
    with Loopback(script) as server, AnswerStore(folder / f"{family}.jsonl") as store:
        judge = Judge(family, Endpoint(server.url, "made"))
        return run_judge(items, judge, method or Pointwise(), store, Budget()), server


def test_an_honest_judge(tmp_path: Path) -> None:
    items = made_items(12)
    judged, server = run(marking(honest, as_json), tmp_path, items)
    assert judged.void == []
    assert judged.canaries == {kind: 0.5 if kind == "padded" else 1 for kind in LEAST}
    report = panel_report([judged], relative_scores, FAMILIES)
    assert report["overall"]["value"] == pytest.approx(3 / 9)
    assert list(report["categories"]) == ["conv"]
    assert (report["n"], report["verdicts"], report["invalid"]) == (12, 24, 0)
    assert report["averaged_in_unread"] == 0
    assert (report["flip_rate"], report["first_place_gain"]) == (0, 0)
    assert (report["void"], report["warnings"], report["circular"]) == ("", [], False)
    json.dumps(report)
    assert {body["temperature"] for body in server.bodies} == {0.2}
    again, server = run(marking(honest, as_json), tmp_path, items)
    assert again == judged and server.asked.total() == 0  # what was paid is kept


def test_a_liking_for_the_first_place_is_seen_and_cancels(tmp_path: Path) -> None:
    def mark(picture: str, answer: str, place: str) -> float:
        return min(10.0, 3.0 + 4 * (place == "first") + answer.startswith("Truth"))

    judged, _ = run(marking(mark, as_json), tmp_path, made_items(12))
    judgement = judged.judgement
    assert judgement.flip_rate == 1
    assert judgement.first_place_gain == 4
    assert set(judgement.marks.values()) == {(6, 5)}
    assert judged.canaries["reference"] == 0  # the same answer twice is not even
    assert "0% of the reference answers" in judged.void[0]


@pytest.mark.parametrize(
    ("mark", "fooled_by"),
    [
        (lambda picture, answer, place: 7.0, {"empty", "truncated", "shuffled"}),
        (lambda picture, answer, place: min(9.0, len(answer) / 50), {"padded", "shuffled"}),
        (lambda picture, answer, place: 9.0 - len(answer) / 99, {"empty", "truncated", "shuffled"}),
    ],
    ids=["indifferent", "likes length", "likes brevity"],
)
def test_judges_that_fail_canaries_are_void(
    tmp_path: Path, mark: Marker, fooled_by: set[str]
) -> None:
    judged, _ = run(marking(mark, as_json), tmp_path, made_items(12))
    named = {kind for kind in LEAST for line in judged.void if f"the {kind} answers" in line}
    assert named == fooled_by
    report = panel_report([judged], relative_scores, FAMILIES)
    assert report["overall"] is None and report["categories"] == {}
    assert "qwen:made is void as a judge" in report["void"]


def test_unreadable_verdicts_are_asked_for_once_more_then_counted(tmp_path: Path) -> None:
    def script(body: Body, times: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        if "picture 0?" in prompt and "Guess 0." in prompt:
            return Reply("I am sorry, I cannot compare these.")
        if "picture 1?" in prompt and "Guess 1." in prompt and times == 0:
            return Reply("Both are good.")
        return marking(honest, as_json)(body, times)

    judged, server = run(script, tmp_path, made_items(12))
    asked = {(v.item, v.asked) for v in judged.judgement.verdicts if v.item in "01"}
    assert asked == {("0", 2), ("1", 2)}
    assert judged.judgement.invalid == 2 and "0" not in judged.judgement.marks
    assert "1" in judged.judgement.marks
    assert max(server.asked.values()) == 2
    report = panel_report([judged], relative_scores, FAMILIES)
    assert report["overall"] is None and "2 of 24 verdicts unreadably" in report["void"]
    assert report["judges"]["qwen:made"]["invalid"] == 2


def test_a_panel_reports_what_its_judges_are_worth(tmp_path: Path) -> None:
    items = made_items(12)
    good = [run(marking(honest, as_json), tmp_path, items, family=f)[0] for f in ("qwen", "gemma")]
    indifferent = marking(lambda picture, answer, place: 7.0, as_json)
    bad, _ = run(indifferent, tmp_path, items, family="openai")
    people = {"ann": {item.id: 3.0 + (n % 2) for n, item in enumerate(items)}}
    report = panel_report([*good, bad], relative_scores, FAMILIES, people)
    assert report["overall"]["value"] == pytest.approx(3 / 9)  # the void judge has no part
    assert report["judges"]["openai:made"]["overall"] is None
    assert report["effective_votes"] == 1  # two judges that say the same
    assert report["circular"] and report["warnings"][0].startswith("CIRCULAR: openai:made")
    assert report["judges"]["qwen:made"]["agreement_with_people"]["items"] == 12
    json.dumps(report)


def test_pairwise_with_words_around_its_verdict(tmp_path: Path) -> None:
    def say(first: float, second: float) -> str:
        better = "tie" if first == second else 1 + (second > first)
        return f"Let me see.\n```json\n{json.dumps({'better': better})}\n```"

    items = made_items(12)
    judged, _ = run(marking(honest, say), tmp_path, items, Pairwise())
    assert judged.void == []
    assert set(judged.judgement.marks.values()) == {(1, 0)}
    assert panel_report([judged], win_rates, FAMILIES)["overall"]["value"] == 0


def test_the_papers_layout_and_its_figure(tmp_path: Path) -> None:
    rules = {"llava_bench_conv": {"role": "Helper", "prompt": "Two numbers."},
             "system": {"prompt": "Be fair."}}  # fmt: skip
    (tmp_path / "rule.json").write_text(json.dumps(rules))
    method = PaperRules.from_file(tmp_path / "rule.json", LLAVA_BENCH_WILD.rule_prefix)
    questions = LLAVA_BENCH_WILD.load(small_set(tmp_path))
    items = LLAVA_BENCH_WILD.items(questions, {q.id: f"Answer {q.id}." for q in questions})

    def script(body: Body, times: int) -> Reply:
        prompt = body["messages"][-1]["content"]
        if "Q3?" in prompt:
            return Reply("8, 6")
        return Reply("8 6" if "[Helper 1]\nIt is" in prompt else "9 1")

    with Loopback(script) as server, AnswerStore(tmp_path / "store.jsonl") as store:
        judge = Judge("openai", Endpoint(server.url, "gpt-4"))
        judgement = judge_items(items, judge, method, store, Budget())
    assert max(server.asked.values()) == 1  # the paper does not ask again
    sent = [body["messages"] for body in server.bodies]
    assert [
        {"role": "system", "content": "Be fair."},
        {
            "role": "user",
            "content": "[Context]\nScene 0.\n\n[Question]\nQ0?\n\n"
            "[Helper 1]\nIt is reference 0.\n\n[End of Helper 1]\n\n"
            "[Helper 2]\nAnswer 0.\n\n[End of Helper 2]\n\n[System]\nTwo numbers.\n\n",
        },
    ] in sent
    paper = LLAVA_BENCH_WILD.judged(questions, judgement, "paper")
    assert paper.overall.value == pytest.approx((3 * 6 - 1) / (3 * 8 - 1))
    assert paper.invalid == 1 and judgement.verdicts[-1].marks == UNREAD


def test_an_endpoint_that_is_silent_is_no_verdict_in_any_mode(tmp_path: Path) -> None:
    rules = PaperRules({"conv": ("Helper", "Two numbers.")})
    refuse = lambda body, times: Reply(status=400)  # noqa: E731
    with Loopback(refuse) as server, AnswerStore(tmp_path / "store.jsonl") as store:
        judge = Judge("openai", Endpoint(server.url, "gpt-4"))
        judgement = judge_items(made_items(2), judge, rules, store, Budget())
    assert judgement.marks == {} and judgement.invalid == 4
    assert judgement.verdicts[0].problem.startswith("rejected: ")


def test_what_the_user_can_put_right(tmp_path: Path) -> None:
    assert family_and_model("OpenAI:gpt-4o:mini") == ("openai", "gpt-4o:mini")
    with pytest.raises(UserError, match="write family:model"):
        family_and_model("gpt-4o")
    (tmp_path / "rule.json").write_text('{"conv": {"role": "A"}}')
    with pytest.raises(UserError, match="holds no rules"):
        PaperRules.from_file(tmp_path / "rule.json")
    with pytest.raises(UserError, match="no entry 'x_conv'"):
        PaperRules({}, "x_").messages(made_items(1)[0], "a", "b")
    with pytest.raises(UserError, match="two images at least"):
        canaries(made_items(2))
