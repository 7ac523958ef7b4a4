"""Packed training, from records to steps: nothing of it differs from one sample a row."""

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from llava_jax import partition
from llava_jax.config import Model, Optimizer
from llava_jax.data.pipeline import Batches, SourceSpec, make_dataset
from llava_jax.data.plan import BatchShape
from llava_jax.data.records import LlavaJson
from llava_jax.data.samples import ConversationEncoder
from llava_jax.images import Preprocessing
from llava_jax.mesh import local_mesh
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, init_params
from llava_jax.models.sizes import llava_config
from llava_jax.sharding import replicated
from llava_jax.text.templates import get_template
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.training.optimizer import make_optimizer
from llava_jax.training.stage import most_targets
from llava_jax.training.step import init_state, make_step
from tests.tiny_run import turns

CONFIG = llava_config(Model(vision="tiny_clip", language="tiny_llama"))
SHAPE = BatchShape(rows=3, length=230, images=5)
STAGE_1 = ["projector/.*"]
STAGE_2 = ["projector/.*", "language/.*"]


@pytest.fixture(scope="module")
def dataset(tiny_session: Path, tmp_path_factory: pytest.TempPathFactory) -> Batches:
    """Conversations of no, one, two and three images, packed."""
    folder = tmp_path_factory.mktemp("packed")
    draw = np.random.default_rng(0)
    records = []
    for number in range(36):
        names = [f"{number}_{i}.png" for i in range(number % 4)]
        for name in names:
            pixels = draw.integers(0, 255, (40 + number, 50, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name)
        question = "<image>\n" * len(names) + "What is it?"[: 3 + number % 9]
        talk = turns(question, "It is red."[: 2 + number % 9])
        talk += turns("Sure?", "Yes.") * (number % 3)
        records.append({"id": str(number), "image": names, "conversations": talk})
    (folder / "data.json").write_text(json.dumps(records))
    tokenizer = Tokenizer.from_folder(tiny_session / "decoder")
    template = dataclasses.replace(get_template("vicuna_v1"), system="Talk.")
    return make_dataset(
        [SourceSpec(LlavaJson(folder / "data.json", folder))],
        ConversationEncoder(template, tokenizer, CONFIG.image_tokens, SHAPE.length),
        SHAPE,
        Preprocessing(CONFIG.vision.image_size, "pad", CONFIG.vision.mean),
        seed=0,
        epochs=1.0,
        pack_rows=True,
    )


def unpacked(dataset: Batches) -> Iterator[dict[str, np.ndarray]]:
    """The same samples in the same batches, each in a row of its own; rows left over are empty."""
    plan, rows = dataset.plan, SHAPE.rows
    members = [
        [record for row in range(k, k + rows) for record in plan.row(row)]
        for k in range(0, plan.rows, rows)
    ]
    most = max(map(len, members))
    ends = np.cumsum([size for batch in members for size in _ones(len(batch), most)])
    alone = dataclasses.replace(
        dataset.maker,
        shape=dataclasses.replace(SHAPE, rows=most),
        plan=dataclasses.replace(plan, starts=np.concatenate([[0], ends])),
        own_rows=tuple(range(most)),
    )
    return (alone(number)[0] for number in range(len(members)))


def _ones(count: int, length: int) -> list[int]:
    return [1] * count + [0] * (length - count)


def wild_params(model: Llava) -> dict[str, Any]:
    """Weights so large that whatever a token attends to shows."""
    return jax.tree.map(lambda leaf: leaf * (3 if leaf.ndim > 1 else 1), init_params(model, 0))


@pytest.fixture(scope="module", params=[False, True], ids=["unrolled", "scanned"])
def model(request: pytest.FixtureRequest) -> Llava:
    return Llava(CONFIG, Compute(scan_layers=request.param))


def test_the_batches_are_worth_comparing(dataset: Batches) -> None:
    """Several samples a row, text between images, several images in one sample."""
    batches = list(dataset)
    assert len(batches) >= 3
    first = batches[0]
    assert (first["segments"].max(1) >= 2).all()
    per_sample = [
        [
            int((first["image_slots"][row][first["segments"][row] == segment] >= 0).sum())
            // CONFIG.image_tokens
            for segment in range(1, first["segments"][row].max() + 1)
        ]
        for row in range(SHAPE.rows)
    ]
    assert {0, 1, 2, 3} <= {count for row in per_sample for count in row}
    assert any(0 in row[1:-1] and sum(row) > 1 for row in per_sample)


@pytest.mark.slow
def test_logits_are_those_of_samples_alone(dataset: Batches, model: Llava) -> None:
    params = {"params": wild_params(model)}
    logits = jax.jit(model.apply)
    compared = 0
    for batch, alone in zip(dataset, unpacked(dataset), strict=True):
        together, apart = logits(params, batch), logits(params, alone)
        sample = 0
        for row in range(SHAPE.rows):
            for segment in range(1, batch["segments"][row].max() + 1):
                here = batch["segments"][row] == segment
                expected = apart[sample][alone["segments"][sample] == 1]
                np.testing.assert_allclose(together[row][here], expected, atol=5e-5, rtol=1e-4)
                sample, compared = sample + 1, compared + 1
    assert compared == 36


@pytest.mark.slow
def test_nothing_flows_between_samples(dataset: Batches, model: Llava) -> None:
    """Neither forward, from words or images, nor backward: exactly, not nearly."""
    params = wild_params(model)
    batch = jax.tree.map(jnp.asarray, next(iter(dataset)))
    row, segment = 0, 2
    mine = batch["segments"][row] == segment
    slots = batch["image_slots"][row]
    own = np.unique(slots[mine & (slots >= 0)] // CONFIG.image_tokens)
    others = jnp.array([slot not in own for slot in range(SHAPE.images)])
    changed = batch | {
        "tokens": batch["tokens"].at[row].set(jnp.where(mine, batch["tokens"][row], 7)),
        "images": batch["images"]
        .at[row]
        .set(jnp.where(others[:, None, None, None], 0, batch["images"][row])),
    }
    logits = jax.jit(model.apply)
    before, after = (logits({"params": params}, b)[row] for b in (batch, changed))
    np.testing.assert_array_equal(before[mine], after[mine])
    foreign = ~mine & (batch["segments"][row] > 0)
    assert np.abs(before - after)[foreign].max() > 0.1

    def loss(embedded: jax.Array) -> jax.Array:
        hidden = model.apply(
            {"params": params},
            embedded,
            batch["positions"],
            batch["segments"],
            method=lambda llava, *inputs: llava.language(*inputs),
        )
        return (hidden[row][mine] ** 3).sum()

    embedded = model.apply({"params": params}, batch, method=Llava.embed)
    gradient = np.abs(jax.jit(jax.grad(loss))(embedded)).max(-1)
    assert (gradient[row][mine] > 0).all()
    assert not gradient[row][~mine].any() and not gradient[1:].any()


@pytest.mark.slow
@pytest.mark.parametrize(("trainable", "accumulate"), [(STAGE_1, 1), (STAGE_2, 3)])
def test_steps_are_those_of_unpacked_training(
    dataset: Batches, model: Llava, trainable: list[str], accumulate: int
) -> None:
    """Loss and gradient of each step, and what an epoch of them leaves."""
    targets = most_targets(dataset)
    packed = trained(model, trainable, list(dataset), targets=targets, accumulate=accumulate)
    apart = trained(model, trainable, list(unpacked(dataset)))
    np.testing.assert_allclose(packed[0], apart[0], rtol=2e-5)
    np.testing.assert_allclose(packed[1], apart[1], rtol=1e-3)
    for a, b in zip(jax.tree.leaves(packed[2]), jax.tree.leaves(apart[2]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert packed[0][0] != packed[0][-1]
    # With the segments rubbed out they would not be.
    merged = [dict(b, segments=(b["segments"] > 0).astype(np.int32)) for b in dataset]
    blurred = trained(model, trainable, merged, targets=targets, accumulate=accumulate)
    # Ten times what equal losses may differ by.
    assert np.abs(blurred[0] / apart[0] - 1).min() > 2e-4


@pytest.mark.slow
def test_the_tower_sees_the_slots_and_nothing_else(dataset: Batches, model: Llava) -> None:
    """In the compiled step its products have rows * slots images, forward only, whatever the rows
    hold: a row of text alone costs its static slots (and none where features were cached).
    """
    chosen, frozen = partition.split(init_params(model, 0), STAGE_2)
    optimizer = make_optimizer(Optimizer(), chosen, 100)
    batch = next(iter(dataset))
    compiled = jax.jit(make_step(model, optimizer))
    text = compiled.lower(init_state(chosen, optimizer), frozen, batch).compile().as_text()
    product = (
        r"= \(?f32\[(\d+)[\d,]*\][^=]* (?:dot|custom-call)\(.*op_name=\"([^\"]*/vision/[^\"]*)\""
    )
    found = re.findall(product, text)
    images, vision = SHAPE.rows * SHAPE.images, CONFIG.vision
    patches = vision.grid**2
    layers = 1 if model.compute.scan_layers else vision.blocks
    counts = Counter(int(first) for first, _ in found)
    assert counts == {
        images * patches: 1,  # the patches' embedding
        images * (patches + 1): 6 * layers,  # query, key, value, out, up, down
        images * vision.heads: 2 * layers,  # scores and their sums
    }
    assert not any("transpose" in name for _, name in found)
    features = np.zeros((SHAPE.rows, SHAPE.images, patches, vision.width), np.float32)
    cached = {**{k: v for k, v in batch.items() if k != "images"}, "features": features}
    text = compiled.lower(init_state(chosen, optimizer), frozen, cached).compile().as_text()
    assert not re.findall(product, text)


def trained(
    model: Llava, trainable: list[str], batches: list[dict], **options: Any
) -> tuple[np.ndarray, np.ndarray, partition.Params]:
    """Losses and gradient norms of a step on each batch, and the parameters at the end."""
    chosen, frozen = partition.split(wild_params(model), trainable)
    optimizer = make_optimizer(Optimizer(learning_rate=1e-3, warmup=0.0, eps=1e-3), chosen, 100)
    step = jax.jit(make_step(model, optimizer, **options))
    # Where the step leaves it, so that the first call compiles for all.
    state = jax.device_put(init_state(chosen, optimizer), replicated(local_mesh()))
    losses, norms = [], []
    for batch in batches:
        state, metrics = step(state, frozen, batch)
        losses.append(metrics.loss)
        norms.append(metrics.grad_norm)
    assert step._cache_size() == 1  # one program, whatever the rows hold
    return np.array(losses), np.array(norms), state.params
