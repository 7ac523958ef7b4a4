"""A pocket-sized LLaVA twice, ours and transformers', as programs that can be timed.

ViT-S/14 (DINOv2's layout), a two-layer projector and a decoder of SmolLM2-135M's size, with the
same random weights on both sides. A program is a function that runs once, waits for the end, and
returns a number that tells whether both sides computed the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from transformers import Dinov2Config, LlamaConfig, LlavaForConditionalGeneration
from transformers import LlavaConfig as TheirConfig

from llava_jax import partition
from llava_jax.config import Optimizer
from llava_jax.inference import programs
from llava_jax.inference.parameters import prepared
from llava_jax.models.compute import Compute
from llava_jax.models.llava import Llava, LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.sizes import LANGUAGE, VISION
from llava_jax.models.vision import VisionConfig
from llava_jax.training.optimizer import make_optimizer
from llava_jax.training.step import init_state, make_step, to_compute
from llava_jax.weights import rules
from llava_jax.weights.dialects import DIALECTS
from llava_jax.weights.stored import StoredTensor

Program = Callable[[], float]

ROWS, LENGTH, PROMPT = 4, 256, 224  # of a training batch; tokens of a prompt that is read
IMAGE_SIZE, TOWER_IMAGE_SIZE, TOWER_BATCH = 112, 224, 16
STAGES = {"stage 1": ("projector/.*",), "stage 2": ("projector/.*", "language/.*")}
_RATE = 1e-5
_FIRST = 3  # position of the image in each row


def tower_config(image_size: int) -> VisionConfig:
    """All twelve blocks, without the final norm: what transformers' LLaVA reads of a DINOv2."""
    return replace(
        VISION["dinov2_vit_s14"],
        image_size=image_size,
        positions=image_size // 14,
        feature_layers=(-1,),
        post_norm=False,
    )


def our_config(image_size: int = IMAGE_SIZE) -> LlavaConfig:
    return LlavaConfig(tower_config(image_size), ProjectorConfig(), LANGUAGE["smollm2_135m"])


def their_config(image_size: int = IMAGE_SIZE) -> TheirConfig:
    ours = our_config(image_size)
    vision, language = ours.vision, ours.language
    return TheirConfig(
        Dinov2Config(
            hidden_size=vision.width,
            num_hidden_layers=vision.depth,
            num_attention_heads=vision.heads,
            image_size=image_size,
            patch_size=vision.patch_size,
            layerscale_value=1.0,
        ),
        LlamaConfig(
            vocab_size=language.vocab_size,
            hidden_size=language.width,
            intermediate_size=language.mlp_width,
            num_hidden_layers=language.depth,
            num_attention_heads=language.heads,
            num_key_value_heads=language.kv_heads,
            rope_theta=language.rope_theta,
            rms_norm_eps=language.norm_eps,
            tie_word_embeddings=True,
            max_position_embeddings=language.max_length,
        ),
        image_token_index=language.vocab_size - 1,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )


@dataclass(frozen=True)
class Work:
    """What both sides are given: weights as torch holds them, and the arrays of a batch.

    labelled: tokens at the end of each row that are to be predicted.
    """

    tensors: dict[str, torch.Tensor]
    batch: dict[str, np.ndarray]
    pixels: np.ndarray  # normalised [ROWS, IMAGE_SIZE, IMAGE_SIZE, 3]
    image_size: int = IMAGE_SIZE

    @classmethod
    def random(cls, image_size: int = IMAGE_SIZE, labelled: int = LENGTH) -> "Work":
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        config = our_config(image_size)
        slots = np.full((ROWS, LENGTH), -1, np.int32)
        if image_size == IMAGE_SIZE:
            slots[:, _FIRST : _FIRST + config.image_tokens] = np.arange(config.image_tokens)
        learned = np.arange(LENGTH) >= LENGTH - labelled
        batch = {
            "tokens": rng.integers(0, config.language.vocab_size - 1, (ROWS, LENGTH), np.int32),
            "positions": np.tile(np.arange(LENGTH, dtype=np.int32), (ROWS, 1)),
            "segments": np.ones((ROWS, LENGTH), np.int32),
            "loss_weights": np.tile(learned.astype(np.float32), (ROWS, 1)),
            "image_slots": slots,
        }
        tensors = LlavaForConditionalGeneration(their_config(image_size)).state_dict()
        count = ROWS if image_size == IMAGE_SIZE else TOWER_BATCH
        pixels = rng.normal(size=(count, image_size, image_size, 3)).astype(np.float32)
        return cls(tensors, batch, pixels, image_size)

    @property
    def ids(self) -> np.ndarray:
        """Tokens as transformers wants them, with its image token where the image stands."""
        image_token = their_config().image_token_index
        return np.where(self.batch["image_slots"] >= 0, image_token, self.batch["tokens"])


class Ours:
    """Programs of this project, as training, the engine and the feature cache run them."""

    def __init__(self, work: Work, dtype: Any):
        self.work, self.config = work, our_config(work.image_size)
        self.compute = Compute(dtype)
        self.model = Llava(self.config, self.compute)
        in_memory = next(d for d in DIALECTS if d.name == "transformers 5 in memory")
        source = {
            name: StoredTensor(tuple(t.shape), np.dtype(np.float32), t.numpy)
            for name, t in work.tensors.items()
        }
        leaves = rules.read(rules.as_ours(in_memory.table(self.config), source), scan_layers=False)
        # Copies: the step is given its state's buffers, and torch keeps its own.
        self.params = partition.unflatten({path: jnp.array(leaf) for path, leaf in leaves})

    def step(self, stage: str, targets: int = 0) -> Program:
        """A training step; its loss. targets: as `make_step` takes them."""
        chosen, resting = partition.split(self.params, STAGES[stage])
        frozen = to_compute(resting, self.compute.dtype)
        optimizer = make_optimizer(Optimizer(learning_rate=_RATE, warmup=0.0), chosen, 10**6)
        run = jax.jit(make_step(self.model, optimizer, targets=targets), donate_argnums=0)
        batch = jax.device_put(self.work.batch | {"images": self.work.pixels[:, None]})
        # A copy, since the first step consumes it.
        state = init_state(jax.tree.map(jnp.copy, chosen), optimizer)

        def once() -> float:
            nonlocal state
            state, metrics = run(state, frozen, batch)
            jax.block_until_ready(state)
            return float(metrics.loss)

        return once

    def prefill(self, rows: int) -> Program:
        """Prompts with an image read into a new cache; the likeliest next token of the first."""
        params = jax.device_put(prepared(self.params, self.compute))
        batch = {
            "tokens": self.work.batch["tokens"][:rows, :PROMPT],
            "image_slots": self.work.batch["image_slots"][:rows, :PROMPT],
            "lengths": np.full(rows, PROMPT, np.int32),
        }

        def once() -> float:
            pixels = self.work.pixels[:rows]
            tokens = programs.see(self.config, self.compute, params, pixels)
            logits, read = programs.prefill(
                self.config, self.compute, params, batch | {"image_tokens": tokens}
            )
            jax.block_until_ready(read)
            return float(jnp.argmax(logits[0]))

        return once

    def tower(self) -> Program:
        """Features of images; their mean size."""
        look = jax.jit(lambda p, x: self.model.apply({"params": p}, x, method="encode_images"))
        params = jax.device_put(prepared(self.params, self.compute))

        def once() -> float:
            features = look(params, self.work.pixels).block_until_ready()
            return float(jnp.abs(features.astype(jnp.float32)).mean())

        return once


class Theirs:
    """The same programs in transformers on PyTorch.

    mode: "f32", "bf16" (weights and optimizer too) or "autocast" (float32 weights).
    """

    def __init__(self, work: Work, mode: str, compiled: bool):
        self.work = work
        self.dtype = torch.bfloat16 if mode == "bf16" else torch.float32
        self.model = LlavaForConditionalGeneration(their_config(work.image_size))
        self.model.load_state_dict(work.tensors)
        self.model.to(self.dtype)
        self.compile = torch.compile if compiled else lambda function: function
        self.autocast = partial(
            torch.autocast, "cpu", dtype=torch.bfloat16, enabled=mode == "autocast"
        )
        pixels = np.ascontiguousarray(work.pixels.transpose(0, 3, 1, 2))
        self.pixels = torch.tensor(pixels).to(self.dtype)

    def step(self, stage: str) -> Program:
        self.model.train()
        for name, weight in self.model.named_parameters():
            trained = "multi_modal_projector" in name or (
                stage == "stage 2" and "vision_tower" not in name
            )
            weight.requires_grad_(trained)
        trained_weights = [w for w in self.model.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(trained_weights, lr=_RATE, weight_decay=0.0, fused=True)
        batch = self.work.batch
        labels = np.where(batch["loss_weights"] > 0, batch["tokens"], -100)
        inputs = {
            "input_ids": torch.tensor(self.work.ids, dtype=torch.long),
            "labels": torch.tensor(labels, dtype=torch.long),
        }
        forward = self.compile(self.model)

        def once() -> float:
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = forward(**inputs, pixel_values=self.pixels, use_cache=False).loss
            loss.backward()
            optimizer.step()
            return loss.item()

        return once

    def prefill(self, rows: int) -> Program:
        ids = torch.tensor(self.work.ids[:rows, :PROMPT], dtype=torch.long)
        forward = self.compile(self.model.eval())

        def once() -> float:
            with torch.inference_mode(), self.autocast():
                out = forward(
                    input_ids=ids,
                    pixel_values=self.pixels[:rows],
                    use_cache=True,
                    logits_to_keep=1,
                )
            return float(out.logits[0, -1].argmax())

        return once

    def tower(self) -> Program:
        forward = self.compile(self.model.vision_tower.eval())

        def once() -> float:
            with torch.inference_mode(), self.autocast():
                states = forward(self.pixels, output_hidden_states=True).hidden_states
                return states[-1][:, 1:].float().abs().mean().item()

        return once
