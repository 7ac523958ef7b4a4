"""Two models' answers to ScienceQA made one, as LLaVA and GPT-4 are in the paper.

  python launch/ensemble.py --data=DIR --language_model=FILE --llava=FILE --out=OUT
adds the complement (LLaVA where the language model said nothing readable) and the oracle bound;
  ... --judge=MODEL --base_url=URL
has a model decide where the two differ. Leaves report.json and report.md in OUT.
"""

from pathlib import Path
from typing import cast

from absl import flags

from llava_jax import launching

_DATA = flags.DEFINE_string("data", None, "Folder of ScienceQA's files.", required=True)
_LANGUAGE_MODEL = flags.DEFINE_string("language_model", None, "Its answers.", required=True)
_LLAVA = flags.DEFINE_string("llava", None, "LLaVA's answers.", required=True)
_OUT = flags.DEFINE_string("out", None, "Folder for the report.", required=True)
_MODE = flags.DEFINE_enum("mode", "strict", ["paper", "strict"], "How answers are read.")
_JUDGE = flags.DEFINE_string("judge", "", "The API's name of the model that decides.")
_BASE_URL = flags.DEFINE_string("base_url", "https://api.openai.com/v1", "An OpenAI-like API.")


def main() -> None:
    from rich.console import Console

    from llava_jax.evaluation.benchmarks.benchmark import Mode
    from llava_jax.evaluation.ensembling import evaluate_ensembles
    from llava_jax.remote.endpoint import Endpoint

    evaluate_ensembles(
        Path(_DATA.value),
        Path(_LANGUAGE_MODEL.value),
        Path(_LLAVA.value),
        Path(_OUT.value),
        cast(Mode, _MODE.value),
        Endpoint(_BASE_URL.value, _JUDGE.value) if _JUDGE.value else None,
        Console(),
    )


if __name__ == "__main__":
    launching.run(main)
