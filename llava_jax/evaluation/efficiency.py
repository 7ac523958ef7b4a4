"""How fast and how large a model answers, here and in transformers on the same checkpoint.

Each side runs in a process of its own, so that neither counts the other's memory, on the same
prompts and images; answers have a fixed length, so both write as many tokens.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from rich.console import Console

from llava_jax import partition
from llava_jax.conversion.convert import Conversion, convert
from llava_jax.errors import UserError
from llava_jax.evaluation.stopwatch import ALONE, NEW_TOKENS, ROWS, Speed, Task, pictures, stopwatch
from llava_jax.inference.answers import AnswerText, Writing
from llava_jax.inference.engine import Engine, ask
from llava_jax.inference.scheduler import Scheduler, Shapes
from llava_jax.markdown import table
from llava_jax.models.llava import LlavaConfig
from llava_jax.report import update_report
from llava_jax.run_folder import write_whole
from llava_jax.weights.opening import Model, load_model

T = TypeVar("T")

_QUESTION = "Describe the image."


def measure_efficiency(source: str, template: str, out: Path, console: Console) -> dict[str, Any]:
    """Measures both sides; leaves `efficiency` in OUT/report.json, and OUT/efficiency.md.

    Where transformers is not installed, or cannot hold the checkpoint, `missing` says so.
    Raises UserError for a checkpoint that cannot be read.
    """
    task, report = _apart(_measure_here, source, template)
    try:
        speed = _in_transformers(source, task, console)
        report |= {"runs": [*report["runs"], asdict(speed)], "missing": ""}
    except UserError as error:
        report["missing"] = f"not measured in transformers: {error}"
    text = efficiency_table(report)
    update_report(out, efficiency=report)
    write_whole(out / "efficiency.md", text.encode())
    console.print(text, markup=False, soft_wrap=True)
    return report


def answer_flops(
    config: LlavaConfig, params: partition.Params, prompt_tokens: int, new_tokens: int, views: int
) -> float:
    """Floating point operations of one answer, with a cache of keys and values.

    2 for each weight and token; attention 4 * width for each pair of positions, causal in the
    decoder; the head at each generated token alone. views: squares that the tower looks at.
    """
    weights = {"vision": 0, "projector": 0, "language": 0}
    for path, leaf in partition.flatten(params).items():
        if path.endswith("/kernel") and "lm_head" not in path:
            weights[path.split("/")[0]] += int(np.prod(leaf.shape))
    language, vision = config.language, config.vision
    patches = vision.grid**2 + vision.class_token
    seen = 2 * patches * weights["vision"] + 4 * patches**2 * vision.width * vision.blocks
    seen += 2 * config.image_tokens * weights["projector"]
    length = prompt_tokens + new_tokens - 1  # the last token is not read
    attention = 2 * length**2 * language.heads * language.size_of_head * language.depth
    head = 2 * new_tokens * language.vocab_size * language.width
    return float(views * seen + 2 * length * weights["language"] + attention + head)


def efficiency_table(report: dict[str, Any]) -> str:
    """Both sides as a Markdown table, and what they were asked."""
    columns = (
        *("runs in", "device", "dtype", "first token, ms", "tokens/s", "images/s"),
        "peak memory, GB",
    )
    rows = [
        [
            run["runs_in"],
            run["device"],
            run["dtype"],
            f"{1000 * run['first_token']:.0f}",
            f"{run['tokens_per_second']:.1f}",
            f"{run['images_per_second']:.2f}",
            f"{run['peak_bytes'] / 1e9:.2f}",
        ]
        for run in report["runs"]
    ]
    about = (
        f"{report['parameters'] / 1e6:,.1f} million parameters; an answer of {NEW_TOKENS} tokens "
        f"to a prompt of {report['prompt_tokens']} takes {report['flops_per_answer'] / 1e9:,.1f} "
        f"GFLOP. First token: of one question, its image included (median of {ALONE}). Tokens: of "
        f"{ROWS} answers together, their prompts read. Images: looked at, {ROWS} together. Memory: "
        "the device's where it counts it, else the process's."
    )
    return "\n\n".join(filter(None, [table(columns, rows), about, report["missing"]])) + "\n"


def _apart(function: Callable[..., T], *arguments: Any) -> T:
    """The result of a function that runs in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _in_transformers(source: str, task: Task, console: Console) -> Speed:
    """Raises UserError where there is no transformers with torch, or no such model in it."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise UserError("torch or transformers is not installed")
    from llava_jax.evaluation.efficiency_torch import measure_in_transformers

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "hf"
        convert(Conversion(source, target, "hf", dtype=task.dtype), console)
        return _apart(measure_in_transformers, target, task)


def _measure_here(source: str, template: str) -> tuple[Task, dict[str, Any]]:
    with stopwatch() as watch:
        model = load_model(source, template)
        side = _Side(model)
        images = pictures()
        side.answer(images[:ROWS])  # compiles
        side.first_token(images[0])
        for image in images[ROWS : ROWS + ALONE]:
            with watch.time("first token"):
                side.first_token(image)
        with watch.time("answers"):
            side.answer(images[ROWS + ALONE : 2 * ROWS + ALONE])
        with watch.time("images"):
            side.look(images[2 * ROWS + ALONE :])
    device = jax.devices()[0]
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use", watch.peak_bytes)
    dtype = np.dtype(model.compute.dtype).name
    prompt = side.engine.prepare([ask(_QUESTION, images[0])])[0]
    length = len(prompt.tokens)
    views = len(prompt.image_tokens) // model.config.image_tokens
    return Task(prompt.tokens.tolist(), (prompt.image_slots != -1).tolist(), dtype), {
        "parameters": sum(int(np.prod(x.shape)) for x in jax.tree.leaves(model.params)),
        "prompt_tokens": length,
        "new_tokens": NEW_TOKENS,
        "flops_per_answer": answer_flops(model.config, model.params, length, NEW_TOKENS, views),
        "runs": [asdict(watch.speed("llava_jax", device.device_kind, dtype, peak))],
    }


class _Side:
    """This project's side of the comparison."""

    def __init__(self, model: Model):
        self.engine = Engine(*model[:-1], as_trained=model.as_trained)

    def answer(self, images: list[Any]) -> None:
        scheduler = self.engine.scheduler(Shapes(slots=ROWS))
        for writing in self._writings(images, scheduler):
            while not writing.done:
                scheduler.step(pieces=ROWS)

    def first_token(self, image: Any) -> None:
        scheduler = self.engine.scheduler(Shapes(slots=ROWS))
        (writing,) = self._writings([image], scheduler)
        while not writing.tokens:
            scheduler.step()
        writing.cancel()
        while scheduler.step():
            pass

    def look(self, images: list[Any]) -> None:
        self.engine.prepare([ask(_QUESTION, image) for image in images])

    def _writings(self, images: list[Any], scheduler: Scheduler) -> list[Writing]:
        """Answers that end at their length alone."""
        requests = [ask(_QUESTION, image, max_new_tokens=NEW_TOKENS) for image in images]
        prompts = [replace(prompt, ends=()) for prompt in self.engine.prepare(requests)]
        writings = [Writing(p, AnswerText(self.engine.tokenizer, ())) for p in prompts]
        for writing in writings:
            scheduler.submit(writing)
        return writings
