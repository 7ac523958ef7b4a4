"""Has a model's answers judged by other models, behind any OpenAI-like chat API.

  python launch/judge.py --benchmark=llava_bench_wild --data=DIR --answers=FILE --out=OUT \\
      --judge=openai:gpt-4o,meta:llama-3 --base_url=URL1,URL2 \\
      --candidate=llava --reference=openai --training=openai
Every pair of answers is judged in both orders, and so are canaries that a judge must rank rightly.
Leaves report.json and report.md in OUT, and every verdict in verdicts.jsonl: nothing is paid twice.
--benchmark=mm_vet has answers graded instead.
"""

from pathlib import Path
from typing import cast

from absl import flags

from llava_jax import launching
from llava_jax.errors import UserError

_BENCHMARK = flags.DEFINE_enum(
    "benchmark", None, ["llava_bench_coco", "llava_bench_wild", "mm_vet"], "What.", required=True
)
_DATA = flags.DEFINE_string("data", None, "Folder of its files.", required=True)
_ANSWERS = flags.DEFINE_string("answers", None, "A model's answers.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for verdicts and reports.", required=True)
_JUDGE = flags.DEFINE_list("judge", None, "FAMILY:MODEL of each judge.", required=True)
_BASE_URL = flags.DEFINE_list("base_url", ["https://api.openai.com/v1"], "One for all, or each's.")
_METHOD = flags.DEFINE_enum(
    "method", "pointwise", ["pointwise", "pairwise", "paper"], "Marks, preferences, or LLaVA's way."
)
_RULES = flags.DEFINE_string("rules", "", "LLaVA's rule.json, for --method=paper.")
_CANDIDATE = flags.DEFINE_string("candidate", "", "Family of the model that answered.")
_REFERENCE = flags.DEFINE_string("reference", "openai", "Family of the reference's author.")
_TRAINING = flags.DEFINE_list("training", [], "Families that wrote the model's training data.")
_HUMANS = flags.DEFINE_string("humans", "", "Ratings by people: CSV, or the web page's votes.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.2, "Of the judges; below 0: the API's own.")
_PROMPT_PRICE = flags.DEFINE_float("usd_per_million_prompt", 0.0, "Price of prompt tokens.")
_ANSWER_PRICE = flags.DEFINE_float("usd_per_million_answer", 0.0, "Price of answer tokens.")
_MAX_USD = flags.DEFINE_float("max_usd", None, "The most all calls may cost.")


def main() -> None:
    from rich.console import Console

    from llava_jax.evaluation.judge.asking import Judge, family_and_model
    from llava_jax.evaluation.judge.run import Families
    from llava_jax.evaluation.judging import Judged, Panel, Way, grade_answers, judge_answers
    from llava_jax.remote.endpoint import Endpoint

    urls = _BASE_URL.value * (len(_JUDGE.value) if len(_BASE_URL.value) == 1 else 1)
    if len(urls) != len(_JUDGE.value):
        raise UserError("--base_url wants one address for all judges, or one for each --judge")
    prices = (_PROMPT_PRICE.value, _ANSWER_PRICE.value)
    if _MAX_USD.value is not None and not any(prices):
        raise UserError(
            "--max_usd needs prices to count with: give --usd_per_million_prompt and "
            "--usd_per_million_answer"
        )
    temperature = None if _TEMPERATURE.value < 0 else _TEMPERATURE.value
    judges = []
    for name, url in zip(_JUDGE.value, urls, strict=True):
        family, model = family_and_model(name)
        endpoint = Endpoint(
            url, model, usd_per_million_prompt=prices[0], usd_per_million_answer=prices[1]
        )
        judges.append(Judge(family, endpoint, temperature))
    panel = Panel(
        judges,
        cast(Way, _METHOD.value),
        Families(_CANDIDATE.value, _REFERENCE.value, tuple(_TRAINING.value)),
        rules=Path(_RULES.value) if _RULES.value else None,
        humans=Path(_HUMANS.value) if _HUMANS.value else None,
        max_usd=float("inf") if _MAX_USD.value is None else _MAX_USD.value,
    )
    judged = Judged(_BENCHMARK.value, Path(_DATA.value), Path(_ANSWERS.value), Path(_OUT.value))
    run = grade_answers if _BENCHMARK.value == "mm_vet" else judge_answers
    run(judged, panel, Console())


if __name__ == "__main__":
    launching.run(main)
