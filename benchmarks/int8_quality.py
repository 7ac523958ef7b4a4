"""What weights and cache in 8 bits cost: perplexity, and how many greedy answers stay the same.

  python benchmarks/int8_quality.py --checkpoint=DIR --out=report.json [--text=FILE ...]

DIR is a training run with held-out scenes, as launch/pocket.sh leaves one: its probes are asked.
Perplexity is that of plain texts, read piece by piece through the cache. Everything is compared
with the same model in float32; what bfloat16 alone changes stands beside it.
"""

import gc
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from absl import flags

from llava_jax import launching

_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Folder of a training run.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_HOME = Path(__file__).parent.parent
_TEXT = flags.DEFINE_multi_string(
    "text", [str(_HOME / "LICENSE"), str(_HOME / "README.md")], "Text files."
)
_SCENES = flags.DEFINE_integer("scenes", 40, "Held-out scenes that are asked about.", 1)
_WINDOW, _PIECE = 512, 64  # tokens that are read one after another, and at a time


def main() -> None:
    from llava_jax.evaluation.held_out import ask_probes
    from llava_jax.evaluation.probes import make_probes
    from llava_jax.instruct.importers.coco import CocoFiles, read_whole
    from llava_jax.models.compute import Compute
    from llava_jax.weights.workdir import load_trained

    workdir = Path(_CHECKPOINT.value).expanduser()
    run = load_trained(workdir, Compute())
    files = CocoFiles.in_folder(workdir / "data" / "held_out")
    probes = make_probes(read_whole(files)[: _SCENES.value], run.recipe.seed)
    tokens = [run.tokenizer.encode(Path(name).read_text()) for name in _TEXT.value]
    report: dict[str, Any] = {}
    reference: tuple[str, ...] = ()
    for name, compute in _variants().items():
        asked = ask_probes(run, compute, probes, files.images, f"model in {name}")
        reference = reference or asked.answers
        same = [a == b for a, b in zip(asked.answers, reference, strict=True)]
        report[name] = {
            "perplexity": math.exp(_mean_loss(run, compute, tokens)),
            "answers": len(same),
            "same_answers": sum(same) / len(same),
            "native": compute.native,
            "figures": {figure: value["value"] for figure, value in asked.figures.items()},
        }
        Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")
        gc.collect()  # an engine and its cache hold each other
    _show(report)


def _variants() -> dict[str, Any]:
    """What is compared, the reference first."""
    import jax.numpy as jnp

    from llava_jax.inference.parameters import for_answers
    from llava_jax.models.compute import Compute

    half = for_answers(Compute(jnp.bfloat16))
    small = replace(half, int8_weights=True)
    return {
        "float32": Compute(),
        "bfloat16": half,
        "bfloat16, 8-bit cache": replace(half, int8_cache=True),
        "8-bit weights": small,
        "8-bit weights and cache": replace(small, int8_cache=True),
    }


def _mean_loss(run: Any, compute: Any, texts: list[list[int]]) -> float:
    """Nats a token, of windows that begin without knowing what was before."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from llava_jax.inference.parameters import prepared
    from llava_jax.models import cache
    from llava_jax.models.language import LanguageModel, make_cache

    config = run.config.language
    model = LanguageModel(config, compute)
    params = jax.device_put(prepared(run.params, compute)["language"])

    @partial(jax.jit, donate_argnums=2)
    def read(tokens: Any, following: Any, cached: Any, start: Any) -> tuple[Any, Any]:
        def loss(model: LanguageModel) -> tuple[Any, Any]:
            hidden, new = model.extend(model.embed_tokens(tokens), start, cached)
            scores = jax.nn.log_softmax(model.logits(hidden[0]))
            return -jnp.take_along_axis(scores, following[:, None], axis=1).sum(), new

        total, new = model.apply({"params": params}, method=loss)
        return total, cache.write(cached, new, start)

    total, count = 0.0, 0
    for text in texts:
        for first in range(0, len(text) - _WINDOW - 1, _WINDOW):
            cached = make_cache(config, compute, 1, _WINDOW)
            for place in range(0, _WINDOW, _PIECE):
                piece = np.array(text[first + place : first + place + _PIECE + 1], np.int32)
                start = np.array([place], np.int32)
                loss, cached = read(piece[None, :-1], piece[1:], cached, start)
                total, count = total + float(loss), count + _PIECE
    return total / count


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    figures = list(next(iter(report.values()))["figures"])
    table = Table("model in", "perplexity", "same answers", *[f.replace("_", " ") for f in figures])
    for name, row in report.items():
        right = [f"{row['figures'][figure]:.3f}" for figure in figures]
        table.add_row(name, f"{row['perplexity']:.3f}", f"{row['same_answers']:.3f}", *right)
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(table)


if __name__ == "__main__":
    launching.run(main)
