"""Thirty steps of both stages, step by step as the original trains."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from llava_jax import partition
from llava_jax.config import Optimizer
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava
from llava_jax.training.optimizer import cosine_with_warmup, make_optimizer
from llava_jax.training.step import init_state, make_step
from llava_jax.weights.huggingface import load_llava

RUNS = ["stage1_clip1", "stage1_noclip", "stage2_clip1", "stage2_noclip", "stage2_projlr_wd"]
IMAGE, IGNORED, MAX_LENGTH = -200, -100, 256


def as_row(ids: np.ndarray, labels: np.ndarray, length: int, image_tokens: int) -> dict:
    """One collated row of the original (image = -200, ignored label = -100) as a row of ours."""
    tokens, mask, slots = [], [], []
    for token, label in zip(ids, labels, strict=True):
        if token == IMAGE:
            tokens += [0] * image_tokens
            mask += [0.0] * image_tokens
            slots += range(image_tokens)
        else:
            tokens.append(token)
            mask.append(float(label != IGNORED))
            slots.append(-1)
    tokens, mask, slots = tokens[:MAX_LENGTH], mask[:MAX_LENGTH], slots[:MAX_LENGTH]
    pad = length - len(tokens)
    return {
        "tokens": np.int32(tokens + [0] * pad),
        "positions": np.int32([*range(len(tokens)), *[0] * pad]),
        "segments": np.int32([1] * len(tokens) + [0] * pad),
        "loss_weights": np.float32(mask + [0] * pad),
        "image_slots": np.int32(slots + [-1] * pad),
    }


def batches(run: dict, image_tokens: int):
    length = min(MAX_LENGTH, run["input_ids"].shape[-1] + image_tokens)
    for step in range(len(run["loss"])):
        rows, images = [], []
        for i, image in enumerate(run["image_index"][step]):
            real = run["attention_mask"][step, i]
            ids, labels = run["input_ids"][step, i][real], run["labels"][step, i][real]
            rows.append(as_row(ids, labels, length, image_tokens))
            pixels = run["pixel_values"][max(image, 0)].transpose(1, 2, 0)
            images.append((pixels if image >= 0 else np.zeros_like(pixels))[None])
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        yield batch | {"images": np.stack(images).astype(np.float32)}


def projector(run: dict, when: str) -> dict[str, np.ndarray]:
    ours = {}
    for layer, dense in (("0", "dense_0"), ("2", "dense_1")):
        ours[f"{dense}/kernel"] = run[f"{when}/model.mm_projector.{layer}.weight"].T
        ours[f"{dense}/bias"] = run[f"{when}/model.mm_projector.{layer}.bias"]
    return ours


@pytest.mark.golden
@pytest.mark.parametrize("name", RUNS)
def test_losses_norms_and_weights_follow_the_original(golden_dir: Path, name: str):
    folder = golden_dir / "trajectory"
    run = dict(np.load(folder / f"{name}.npz"))
    spec = json.loads((folder / "runs.json").read_text())[name]
    wanted = spec["hyper_parameters"]
    config, params = load_llava(
        golden_dir / "tiny_model" / "llava_mlp", vision_folder=golden_dir / "tiny_model" / "clip"
    )
    params["projector"] = partition.unflatten(projector(run, "initial"))

    second_stage = spec["stage"] == 2
    patterns = ["projector/.*", "language/.*"] if second_stage else ["projector/.*"]
    trainable, frozen = partition.split(params, patterns)
    projector_rate = wanted.get("mm_projector_lr")
    steps = len(run["loss"])
    optimizer = make_optimizer(
        Optimizer(
            learning_rate=wanted["learning_rate"],
            rates=(("projector/.*", projector_rate),) if projector_rate else (),
            weight_decay=wanted.get("weight_decay", 0.0),
            clip=wanted["max_grad_norm"],
        ),
        trainable,
        steps,
    )
    step = jax.jit(make_step(Llava(config, Compute()), optimizer))
    state = init_state(trainable, optimizer)
    losses, norms = [], []
    for batch in batches(run, config.image_tokens):
        state, metrics = step(state, frozen, batch)
        losses.append(float(metrics.loss))
        norms.append(float(metrics.grad_norm))

    np.testing.assert_allclose(losses, run["loss"], rtol=1e-5)
    key = "grad_norm_before_clip_hf" if "grad_norm_before_clip_hf" in run else "grad_norm"
    np.testing.assert_allclose(norms, run[key], rtol=3e-5)
    rates = [
        float(cosine_with_warmup(wanted["learning_rate"], steps, 0.03)(k)) for k in range(steps)
    ]
    np.testing.assert_allclose(rates, run["learning_rate_used"][:, 0], rtol=1e-5, atol=1e-9)
    final = partition.flatten(state.params["projector"])
    for path, value in projector(run, "final").items():
        np.testing.assert_allclose(final[path], value, atol=1e-5, err_msg=path)
    if second_stage:
        ours = partition.flatten(state.params["language"])
        theirs = {
            "layers_0/attention/query/kernel": run[
                "final/model.layers.0.self_attn.q_proj.weight"
            ].T,
            "layers_3/mlp/down/kernel": run["final/model.layers.3.mlp.down_proj.weight"].T,
            "norm/scale": run["final/model.norm.weight"],
            "layers_2/attention_norm/scale": run["final/model.layers.2.input_layernorm.weight"],
            "lm_head/kernel": run["final/lm_head.weight_first64"].T,
            "embed/embedding": run["final/model.embed_tokens.weight_first64"],
        }
        for path, value in theirs.items():
            mine = np.asarray(ours[path])[tuple(slice(n) for n in value.shape)]
            np.testing.assert_allclose(mine, value, atol=1e-5, err_msg=path)


@pytest.mark.golden
def test_the_schedule_is_the_originals(golden_dir: Path):
    cases = json.loads((golden_dir / "sampler_schedule.json").read_text())["schedule"]
    assert cases
    for case in cases:
        schedule = cosine_with_warmup(case["base_lr"], case["total_steps"], case["warmup_ratio"])
        rates = [float(schedule(step)) for step in case["steps"]]
        np.testing.assert_allclose(rates, case["lr_used_at_step"], rtol=1e-5, atol=1e-9)
