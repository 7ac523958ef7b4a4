"""Evaluates a run on image-caption pairs it has not seen: their loss, with and without sight."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax
from jaxtyping import Array, Float
from rich.console import Console

from llava_jax import partition
from llava_jax.data.packing import make_row
from llava_jax.data.records import LlavaJson, Record
from llava_jax.data.samples import ConversationEncoder, Sample
from llava_jax.errors import UserError
from llava_jax.images import preprocess
from llava_jax.inference.engine import Engine, ask
from llava_jax.models.compute import Compute, local_compute
from llava_jax.models.llava import Batch, Llava
from llava_jax.report import timed, update_report
from llava_jax.sheet import SheetItem, SheetLine, draw_sheet
from llava_jax.text.templates import get_template
from llava_jax.weights.workdir import Trained, load_recipe, load_trained, newest_steps

_ROWS = 16
_GRAY = 128  # what a blind model is shown
_SHOWN = 12  # photos on the sheet
_LONGEST = 32  # tokens of a caption

Shown = Literal["own", "other", "grey", "nothing"]


def evaluate_captions(
    workdir: Path, data: str | Path, images: str | Path, console: Console
) -> dict[str, Any]:
    """Mean loss a caption token, in nats, of the trained model beside what sees nothing.

    "other_image" is the trained model shown each record's neighbour's image, "blind" the same shown
    grey, "text_only" its decoder with a newline instead of the image, "untrained" the model with a
    random projector. Leaves them in the workdir's report.json (`held_out_captions`) with what the
    model writes about the first photos and what stands in the data; captions.png shows those.

    Raises:
      UserError: nothing is trained yet, or the data cannot be read.
    """
    recipe = load_recipe(workdir)
    if not newest_steps(workdir, recipe):
        raise UserError(f"nothing is trained in {workdir} yet: run launch/train.py first")
    source = LlavaJson(data, images)
    records = [source[i] for i in range(len(source))]
    odd = [record.id for record in records if len(record.images) != 1]
    if odd:
        raise UserError(f"{data} should hold pairs, and record {odd[0]!r} has not one image")
    compute = local_compute(recipe.dtype)
    with timed(workdir, "evaluate"):
        trained = load_trained(workdir, compute)
        figures = {
            "value": caption_loss(trained, compute, records),
            "other_image": caption_loss(trained, compute, records, shown="other"),
            "blind": caption_loss(trained, compute, records, shown="grey"),
            "text_only": caption_loss(trained, compute, records, shown="nothing"),
            "untrained": caption_loss(load_trained(workdir, compute, stages=0), compute, records),
            "n": len(records),
        }
        captions = write_captions(trained, compute, records[:_SHOWN], workdir / "captions.png")
    update_report(workdir, held_out_captions=figures | {"captions": captions})
    console.print(
        f"loss a caption token on {len(records)} pairs: {figures['value']:.3f} "
        f"(another image {figures['other_image']:.3f}, blind {figures['blind']:.3f}, text only "
        f"{figures['text_only']:.3f}, untrained {figures['untrained']:.3f}); captions: "
        f"{workdir / 'captions.png'}"
    )
    return figures


def caption_loss(
    model: Trained, compute: Compute, records: list[Record], *, shown: Shown = "own"
) -> float:
    """Mean of -log p over the supervised tokens, in nats.

    shown: each record's own image, another record's, uniform grey, or nothing: then a newline
      stands where the image was.
    """
    template = get_template(model.template)
    longest = max(stage.longest_sample for stage in model.recipe.stage.values())
    whole = ConversationEncoder(template, model.tokenizer, model.config.image_tokens, longest)
    encode = _WithoutImages(whole) if shown == "nothing" else whole
    length = max(len(encode(record).tokens) for record in records)
    size, mean = model.config.vision.image_size, model.config.vision.mean
    loss = jax.jit(partial(_losses, Llava(model.config, compute)))
    params = jax.tree.map(jax.numpy.asarray, model.params)
    total = count = 0.0
    for start in range(0, len(records), _ROWS):
        chosen = records[start : start + _ROWS]
        rows = [
            make_row(
                [encode(record)],
                [1.0],
                length=length,
                image_tokens=model.config.image_tokens,
                pad_id=encode.pad_id,
            )
            for record in chosen
        ]
        pixels = np.full((_ROWS, 1, size, size, 3), _GRAY, np.uint8)
        for i in range(len(chosen) if shown in ("own", "other") else 0):
            seen = records[(start + i + (shown == "other")) % len(records)].images[0].load()
            pixels[i, 0] = preprocess(seen, size, model.image_mode, mean)
        rows += [{name: np.zeros_like(value) for name, value in rows[0].items()}] * (
            _ROWS - len(rows)
        )
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        part, weight = loss(params, batch | {"images": pixels})
        total, count = total + float(part), count + float(weight)
    return total / count


def _losses(
    model: Llava, params: partition.Params, batch: Batch
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """(sum of the losses of supervised tokens, their number)."""
    logits = model.apply({"params": params}, batch)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], batch["tokens"][:, 1:])
    weights = batch["loss_weights"][:, 1:]
    return (losses * weights).sum(), weights.sum()


@dataclass(frozen=True)
class _WithoutImages:
    """Samples with one newline in place of all their image tokens."""

    encode: ConversationEncoder

    @property
    def pad_id(self) -> int:
        return self.encode.pad_id

    def __call__(self, record: Record) -> Sample:
        sample = self.encode(record)
        newline = self.encode.tokenizer.encode("\n")[-1]
        at_image = sample.image_slots >= 0
        kept = ~at_image
        kept[at_image.argmax()] = True
        return Sample(
            np.where(at_image, newline, sample.tokens).astype(np.int32)[kept],
            sample.loss_mask[kept],
            np.full(kept.sum(), -1, np.int32),
            0,
        )


def write_captions(
    model: Trained, compute: Compute, records: list[Record], path: Path
) -> list[dict[str, str]]:
    """A sheet of photos with the model's caption and the data's; returns the texts."""
    engine = Engine(
        model.config, model.params, compute, model.tokenizer, model.template, model.image_mode
    )
    requests = [ask("", record.images[0].read(), max_new_tokens=_LONGEST) for record in records]
    texts = [
        {
            "image": record.images[0].name,
            "model": answer.text.strip(),
            "data": record.conversations[1]["value"],
        }
        for record, answer in zip(records, engine.generate(requests), strict=True)
    ]
    items = [
        SheetItem(
            record.images[0].load(),
            (
                SheetLine("the model's caption", text["model"]),
                SheetLine("the data's", text["data"]),
            ),
        )
        for record, text in zip(records, texts, strict=True)
    ]
    draw_sheet(items, path)
    return texts
