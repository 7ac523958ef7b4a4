"""Writes instruction data from scenes in symbols, with a teacher that never sees a pixel.

  python launch/instruct.py --source=coco --instances=FILE --captions=FILE --images=DIR --out=DIR \\
      --teacher=openai --base_url=URL --model=NAME --max_usd=20
Without --teacher the rule-based one writes. Leaves instructions.json (LLaVA's format),
provenance.jsonl, report.json, README.md (a data set's card) and preview.html; a second call pays no
answer again.

What it would ask and cost, without asking:       ... --dry_run
Only the checks, of data that exists already:      ... --check=FILE
A choice of captions that balances their concepts: --concepts=FILE --out=DIR
"""

from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from llava_jax import launching
from llava_jax.errors import SetAside, UserError

if TYPE_CHECKING:
    from llava_jax.instruct.making import Asking, Choices

_FILES = ("instances", "captions", "annotations", "images", "classes", "frames", "scans", "rooms",
          "connectivity")  # fmt: skip
_SOURCE = flags.DEFINE_string("source", "", "Data set; a wrong name lists all of them.")
for _name in _FILES:
    flags.DEFINE_string(_name, "", f"The source's {_name}: a file or a folder.")
_OUT = flags.DEFINE_string("out", None, "Folder for what is written.", required=True)
_LIMIT = flags.DEFINE_integer("limit", 0, "Scenes to take, from the first; 0: all.", lower_bound=0)
_RESPONSES = flags.DEFINE_list(
    "responses", [], "Kinds of response and their share of the scenes: detail=0.4,complex=0.5."
)
_TEACHER = flags.DEFINE_enum("teacher", "rules", ["rules", "openai"], "Who writes.")
_BASE_URL = flags.DEFINE_string(
    "base_url", "https://api.openai.com/v1", "A chat API like OpenAI's."
)
_MODEL = flags.DEFINE_string("model", "", "The API's name of the model.")
_PROMPT_PRICE = flags.DEFINE_float("usd_per_million_prompt", 0.0, "Price of prompt tokens.")
_ANSWER_PRICE = flags.DEFINE_float("usd_per_million_answer", 0.0, "Price of answer tokens.")
_MAX_USD = flags.DEFINE_float(
    "max_usd", None, "Never spend more in this folder, restarts included."
)
_AT_ONCE = flags.DEFINE_integer("at_once", 64, "Most requests at a time.", lower_bound=1)
_TIMEOUT = flags.DEFINE_float("timeout", 300.0, "Seconds until a request is given up.")
_MAX_TOKENS = flags.DEFINE_integer("max_tokens", 1024, "Longest answer.", lower_bound=1)
_TEMPERATURE = flags.DEFINE_float("temperature", None, "Of the teacher; else the API's own.")
_FAITHFUL = flags.DEFINE_boolean("faithful", False, "The paper's prompts: fewer symbols.")
_SYMBOLS = flags.DEFINE_integer("symbols", 3000, "Tokens that a scene's text may take.")
_DRY_RUN = flags.DEFINE_boolean("dry_run", False, "Say what would be asked and what it would cost.")
_SEED = flags.DEFINE_integer("seed", 0, "Of all choices.")
_HELD_OUT = flags.DEFINE_float("held_out", 0.0, "Share of the images whose samples are held out.")
_AGAINST = flags.DEFINE_list(
    "against", [], "Evaluation sets to keep off: FILE, or FILE:FOLDER with its images."
)
_PREVIEW = flags.DEFINE_boolean("preview", True, "Write preview.html, to look at samples.")
_SHOWN = flags.DEFINE_integer("shown", 50, "Samples in preview.html.", lower_bound=1)
_TFDS = flags.DEFINE_boolean("tfds", False, "Also as a TFDS data set, in OUT/tfds.")
_CHECK = flags.DEFINE_string("check", "", "LLaVA's JSON to check instead of writing any.")
_CONCEPTS = flags.DEFINE_string("concepts", "", "Captions (LLaVA's JSON) to choose from.")
_PHRASES = flags.DEFINE_enum("noun_phrases", "rules", ["rules", "spacy"], "Who reads them.")


def main() -> None:
    from rich.console import Console

    from llava_jax.instruct import making

    console = Console()
    if _CONCEPTS.value:
        making.choose_captions(
            Path(_CONCEPTS.value), Path(_OUT.value), _PHRASES.value, _SEED.value, console
        )
        return
    choices = _choices()
    if _CHECK.value:
        problems = making.check_records(Path(_CHECK.value), choices, console)
    elif _TEACHER.value == "openai":
        problems = making.ask_model(choices, _asking(), console, dry_run=_DRY_RUN.value)
    else:
        problems = making.apply_rules(choices, console, dry_run=_DRY_RUN.value)
    if problems:
        raise SetAside(problems)


def _choices() -> "Choices":
    from llava_jax.instruct.making import Choices

    given = {name: str(flags.FLAGS[name].value) for name in _FILES}
    files = {name: Path(place) for name, place in given.items() if place}
    return Choices(
        source=_SOURCE.value,
        files=files,
        out=Path(_OUT.value),
        limit=_LIMIT.value,
        shares=dict(map(_share, _RESPONSES.value)),
        seed=_SEED.value,
        held_out=_HELD_OUT.value,
        against=tuple(_AGAINST.value),
        shown=_SHOWN.value if _PREVIEW.value else 0,
        tfds=_TFDS.value,
    )


def _share(text: str) -> tuple[str, float]:
    kind, _, share = text.partition("=")
    try:
        value = float(share or 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"--responses={text}: give KIND=SHARE with a share of 0 to 1")
    return kind.strip(), value


def _asking() -> "Asking":
    from llava_jax.instruct.making import Asking
    from llava_jax.remote.endpoint import Endpoint
    from llava_jax.remote.prompt import Sampling

    if not _MODEL.value:
        raise UserError("--teacher=openai needs --model: the name the API knows its model by")
    prices = (_PROMPT_PRICE.value, _ANSWER_PRICE.value)
    if _MAX_USD.value is not None and not any(prices):
        raise UserError(
            "--max_usd needs prices to count with: give --usd_per_million_prompt and "
            "--usd_per_million_answer"
        )
    return Asking(
        endpoint=Endpoint(
            _BASE_URL.value,
            _MODEL.value,
            usd_per_million_prompt=prices[0],
            usd_per_million_answer=prices[1],
            timeout=_TIMEOUT.value,
        ),
        sampling=Sampling(max_tokens=_MAX_TOKENS.value, temperature=_TEMPERATURE.value),
        max_usd=float("inf") if _MAX_USD.value is None else _MAX_USD.value,
        at_once=_AT_ONCE.value,
        faithful=_FAITHFUL.value,
        symbols=_SYMBOLS.value,
    )


if __name__ == "__main__":
    launching.run(main)
