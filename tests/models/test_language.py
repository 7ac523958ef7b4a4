"""The decoder against LlamaForCausalLM of transformers, with random weights, in float32."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from llava_jax.models.cache import write
from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageModel, make_cache
from llava_jax.weights.dialects import language_table
from llava_jax.weights.hf_configs import language_config
from tests.models.batches import labels, mean_loss
from tests.models.from_torch import gradients, parameters, randomized

SMALL = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VARIANTS = {
    "multi_head": {"rms_norm_eps": 0.02},
    "grouped_wide_heads": {"num_key_value_heads": 2, "head_dim": 20, "rope_theta": 100000.0},
    "one_key_head_tied_scaled_rope": {
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "rope_scaling": {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
}
TOKENS = np.random.default_rng(0).integers(3, 96, (3, 12)).astype(np.int32)


def unbroken(shape: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Positions and segments of rows that are one sample each."""
    return jnp.broadcast_to(jnp.arange(shape[1]), shape), jnp.ones(shape, jnp.int32)


class Pair:
    """A torch decoder and ours with its weights."""

    def __init__(self, variant: str, scan: bool):
        self.theirs = randomized(LlamaForCausalLM(LlamaConfig(**SMALL | VARIANTS[variant])))
        self.config = language_config(self.theirs.config.to_dict())
        self.compute = Compute(scan_layers=scan)
        self.model = LanguageModel(self.config, self.compute)
        self.params = self.ours(self.theirs.state_dict())

    def ours(self, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        table = language_table(self.config)
        return {"params": parameters(tensors, table, self.compute.scan_layers)}

    @partial(jax.jit, static_argnums=0)
    def logits(self, params, tokens, positions, segments):
        def forward(model: LanguageModel, tokens, positions, segments):
            return model.logits(model(model.embed_tokens(tokens), positions, segments))

        return self.model.apply(params, tokens, positions, segments, method=forward)

    @partial(jax.jit, static_argnums=0)
    def extend(self, tokens, start, cache):
        """Logits of every new token, and the longer cache."""

        def forward(model: LanguageModel, tokens, start, cache):
            hidden, new = model.extend(model.embed_tokens(tokens), start, cache)
            return model.logits(hidden), write(cache, new, start)

        return self.model.apply(self.params, tokens, start, cache, method=forward)

    def whole(self, tokens: np.ndarray) -> np.ndarray:
        """Logits of full rows."""
        return self.logits(self.params, jnp.asarray(tokens), *unbroken(tokens.shape))


@pytest.fixture(scope="module", params=VARIANTS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param, scan=request.param == "grouped_wide_heads")


@torch.no_grad()
def theirs_logits(pair: Pair, tokens: np.ndarray, **inputs: Any) -> np.ndarray:
    return pair.theirs(torch.tensor(tokens, dtype=torch.long), **inputs).logits.numpy()


def test_logits(pair: Pair):
    np.testing.assert_allclose(pair.whole(TOKENS), theirs_logits(pair, TOKENS), atol=1e-4, rtol=0)


def test_loss_and_the_gradient_of_every_weight(pair: Pair):
    learned = np.arange(12) >= [[5], [0], [9]]
    batch = {"tokens": jnp.asarray(TOKENS), "loss_weights": jnp.asarray(learned, jnp.float32)}

    def loss(params):
        logits = pair.logits(params, batch["tokens"], *unbroken(TOKENS.shape))
        return mean_loss(logits, batch)

    ours, ours_gradients = jax.jit(jax.value_and_grad(loss))(pair.params)
    theirs = pair.theirs(
        torch.tensor(TOKENS, dtype=torch.long), labels=torch.tensor(labels(batch), dtype=torch.long)
    ).loss
    np.testing.assert_allclose(ours, theirs.detach(), atol=1e-5, rtol=0)
    pair.theirs.zero_grad()
    theirs.backward()
    expected = pair.ours(gradients(pair.theirs))
    assert jax.tree.structure(ours_gradients) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(ours_gradients), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4)


def test_greedy_tokens_through_the_cache(pair: Pair):
    """Prompts of different lengths in one batch give what transformers gives each alone."""
    lengths, new = np.array([12, 5, 8], np.int32), 10
    cache = make_cache(pair.config, pair.compute, 3, 12 + new)
    logits, cache = pair.extend(jnp.asarray(TOKENS), jnp.zeros(3, jnp.int32), cache)
    logits = np.asarray(logits)[np.arange(3), lengths - 1]
    ours = []
    for step in range(new):
        token = logits.argmax(-1).astype(np.int32)
        ours.append(token)
        out, cache = pair.extend(jnp.asarray(token[:, None]), jnp.asarray(lengths + step), cache)
        logits = np.asarray(out)[:, 0]
    for row, length in enumerate(lengths):
        theirs = pair.theirs.generate(
            torch.tensor(TOKENS[row : row + 1, :length], dtype=torch.long),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        np.testing.assert_array_equal(np.stack(ours, 1)[row], theirs[0, length:])


def test_a_prompt_read_in_two_pieces_is_the_prompt(pair: Pair):
    cache = make_cache(pair.config, pair.compute, 3, 22)
    _, cache = pair.extend(jnp.asarray(TOKENS), jnp.zeros(3, jnp.int32), cache)
    # Goes back to where each row has 11 tokens: what lies beyond must not be seen.
    last, _ = pair.extend(jnp.asarray(TOKENS[:, 11:]), jnp.full(3, 11, jnp.int32), cache)
    np.testing.assert_allclose(last[:, 0], pair.whole(TOKENS)[:, 11], atol=2e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding(pair: Pair, side: str):
    lengths = np.array([[12], [5], [8]])
    real = np.arange(12) < lengths if side == "right" else np.arange(12) >= 12 - lengths
    positions = np.maximum(real.cumsum(1) - 1, 0).astype(np.int32)
    inputs = (TOKENS, positions, real.astype(np.int32))
    ours = pair.logits(pair.params, *map(jnp.asarray, inputs))
    theirs = theirs_logits(
        pair,
        TOKENS,
        attention_mask=torch.tensor(real, dtype=torch.long),
        position_ids=torch.tensor(positions, dtype=torch.long),
    )
    np.testing.assert_allclose(np.asarray(ours)[real], theirs[real], atol=1e-4, rtol=0)


def test_packed_samples_are_as_if_alone(pair: Pair):
    """Three samples in each row: 4 + 5 + 2 tokens and one of padding."""
    sizes = (4, 5, 2)
    segments = np.tile(np.repeat([1, 2, 3, 0], [*sizes, 1]), (3, 1)).astype(np.int32)
    positions = np.tile(np.concatenate([*map(np.arange, sizes), [0]]), (3, 1)).astype(np.int32)
    packed = pair.logits(pair.params, *map(jnp.asarray, (TOKENS, positions, segments)))
    first = 0
    for size in sizes:
        piece = slice(first, first + size)
        alone = theirs_logits(pair, TOKENS[:, piece])
        np.testing.assert_allclose(packed[:, piece], alone, atol=1e-4, rtol=0)
        first += size
