"""Runs a checkpoint and what was made of it on the same image and prompt, and compares.

The source runs here; the target runs in transformers where it is in its dialect and transformers
has torch, else here again, read back from what was written.
"""

import gc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from llava_jax.conversion.trial import NEW_TOKENS, Outcome, Trial, make_trial
from llava_jax.errors import UserError
from llava_jax.inference.programs import greedy
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.weights.opening import open_checkpoint
from llava_jax.weights.stored_llava import StoredLlava, load
from llava_jax.weights.tokenizers import read_tokenizer

_SMALL = 10**9  # parameters up to which float32 is affordable
# float32: largest difference, in standard deviations of the logits; bfloat16: the difference's
# norm against theirs, and the share of positions with the same likeliest token.
_FLOAT32, _BFLOAT16, _BFLOAT16_TOP1 = 1e-4, 0.05, 0.9


def compare(llava: StoredLlava, folder: Path, form: str, console: Console) -> dict[str, Any]:
    """Figures of the comparison, printed as well.

    Raises:
      UserError: the two differ by more than rounding explains.
    """
    if form == "projector":
        return _compare_projectors(llava, folder, console)
    count = sum(int(np.prod(tensor.shape)) for tensor in llava.tensors.values())
    dtype = jnp.float32 if count < _SMALL else jnp.bfloat16
    tokenizer = None if llava.tokenizer is None else read_tokenizer(llava.tokenizer)
    trial = make_trial(llava, tokenizer)
    source = run_here(llava, trial, dtype)
    elsewhere = form == "hf" and find_spec("torch") is not None
    if elsewhere:
        from llava_jax.conversion.transformers_side import run_in_transformers

        target = run_in_transformers(folder, trial, np.dtype(dtype))
    else:
        target = run_here(open_checkpoint(str(folder)), trial, dtype)
    figures = differences(source, target) | {
        "dtype": np.dtype(dtype).name,
        "target_runs_in": "transformers" if elsewhere else "llava_jax",
        "source_text": _text(tokenizer, source.tokens),
        "target_text": _text(tokenizer, target.tokens),
    }
    _print(figures, console)
    _refuse_different(figures)
    return figures


def run_here(llava: StoredLlava, trial: Trial, dtype: Any) -> Outcome:
    """The checkpoint in this project's model."""
    compute = Compute(dtype)
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    # Norms and positions stay as exact as they are stored; the model casts what it multiplies.
    params = load(llava, placement=lambda path, shape: device)
    model, length = Llava(llava.config, compute), len(trial.prompt.tokens)
    row = {"tokens": trial.prompt.tokens, "image_slots": trial.prompt.image_slots}
    batch = {name: jnp.asarray(np.stack([value] * 2)) for name, value in row.items()}
    batch["images"] = jnp.stack([jnp.asarray(trial.views)] * 2)
    places = jnp.stack([jnp.arange(length)] * 2)
    full = batch | {"positions": places, "segments": jnp.ones_like(places)}
    logits = jax.jit(model.apply)({"params": params}, full)[0]
    batch["lengths"] = jnp.full(2, length, jnp.int32)
    tokens = greedy(llava.config, compute, params, batch, NEW_TOKENS)[0].tolist()
    outcome = Outcome(np.asarray(logits, np.float32), tokens)
    del params, full, batch
    gc.collect()
    return outcome


def differences(source: Outcome, target: Outcome) -> dict[str, Any]:
    """How far apart two outcomes are, over the vocabulary that both have."""
    width = min(source.logits.shape[1], target.logits.shape[1])
    a, b = source.logits[:, :width], target.logits[:, :width]
    return {
        "max_difference": float(np.abs(a - b).max()),
        "logits_std": float(a.std()),
        "relative_difference": float(np.linalg.norm(a - b) / np.linalg.norm(a)),
        "top1_agreement": float((a.argmax(-1) == b.argmax(-1)).mean()),
        "tokens_agree": source.tokens == target.tokens,
    }


def _refuse_different(figures: dict[str, Any]) -> None:
    if figures["dtype"] == "float32":
        fine = figures["max_difference"] <= _FLOAT32 * max(1.0, figures["logits_std"])
    else:
        close = figures["relative_difference"] <= _BFLOAT16
        fine = close and figures["top1_agreement"] >= _BFLOAT16_TOP1
    if not fine:
        raise UserError(
            "the target does not compute what the source does: logits differ by up to "
            f"{figures['max_difference']:.3g} (their standard deviation is "
            f"{figures['logits_std']:.3g}), the likeliest token agrees at "
            f"{figures['top1_agreement']:.1%} of the positions; nothing was written"
        )


def _compare_projectors(llava: StoredLlava, folder: Path, console: Console) -> dict[str, Any]:
    from llava_jax.weights.projectors import open_projector

    _, tensors = open_projector(folder, llava.config)
    for path, tensor in tensors.items():
        if not np.array_equal(tensor.read(), llava.tensors[f"projector/{path}"].read()):
            raise UserError(f"projector/{path} came back different; nothing was written")
    console.print(f"projector: {len(tensors)} tensors read back equal")
    return {"tensors": len(tensors), "max_difference": 0.0}


def _text(tokenizer: Tokenizer | None, tokens: list[int]) -> str:
    return " ".join(map(str, tokens)) if tokenizer is None else tokenizer.decode(tokens)


def _print(figures: dict[str, Any], console: Console) -> None:
    table = Table(title=f"source against target ({figures['target_runs_in']}, {figures['dtype']})")
    table.add_column("figure")
    table.add_column("value", overflow="fold")
    show: dict[str, Callable[[Any], str]] = {
        "max_difference": "{:.3g}".format,
        "logits_std": "{:.3g}".format,
        "relative_difference": "{:.2g}".format,
        "top1_agreement": "{:.1%}".format,
    }
    for name in (*show, "tokens_agree", "source_text", "target_text"):
        table.add_row(name.replace("_", " "), show.get(name, str)(figures[name]))
    console.print(table)
