"""A projector fitted to the names of boxed objects before any training: a stated shortcut.

LLaVA starts from a random projector and needs some 100,000 captions before the decoder takes
notice of the image. Where the images' objects are annotated, fitting each image token to the
embedding of the name of what it shows gets there in half a minute: the decoder then reads image
tokens as the words they are about. The recipe says so (`Stage.warm_start`), and evaluation
compares with the untrained projector, which has not had it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from rich.console import Console
from rich.progress import track

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.instruct.scene import Box, Scene
from llava_jax.models.compute import Compute
from llava_jax.models.projector import Projector, ProjectorConfig, merge_patches
from llava_jax.text.tokenizer import Tokenizer

_STEPS, _BATCH, _RATE = 1500, 1024, 2e-3
_COLOR = 0.5  # a colour counts half of what the name does
_SHARPNESS = 12.0  # of the softmax over the cosines between a token and the words
_NAMING = 0.3  # weight of telling the words apart, beside the squared error


def to_square(box: Box, scene: Scene, mode: str) -> Float[np.ndarray, "4"]:
    """x1, y1, x2, y2 of a box, as fractions of the square that the image mode cuts or pads."""
    width, height = scene.width, scene.height
    side = max(width, height) if mode == "pad" else min(width, height)
    offset = np.array([side - width, side - height] * 2) / 2
    corners = np.array([box.x1 * width, box.y1 * height, box.x2 * width, box.y2 * height])
    return np.clip((corners + offset) / side, 0, 1)


def centrality(box: Float[np.ndarray, "4"], grid: int) -> Float[np.ndarray, " tokens"]:
    """How much each cell of a grid x grid square is about a box: 1 at its middle, 0 outside it."""
    edges, centers = np.arange(grid + 1) / grid, (np.arange(grid) + 0.5) / grid
    inside, distance = [], []
    for low, high in ((box[1], box[3]), (box[0], box[2])):  # down, across
        overlap = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
        inside.append(np.clip(overlap, 0, None) * grid)
        distance.append(((low + high) / 2 - centers) * grid)
    near = np.exp(-(distance[0][:, None] ** 2 + distance[1][None] ** 2) / 0.8)
    near = near * (np.outer(*inside) > 0.05)
    return (near / max(near.max(), 1e-9)).reshape(-1)


@dataclass(frozen=True)
class Words:
    """What image tokens can be about: names and backgrounds, with their embeddings."""

    places: dict[str, int]
    embeddings: Float[np.ndarray, "words d"]

    @classmethod
    def of(
        cls, scenes: Sequence[Scene], tokenizer: Tokenizer, table: Float[np.ndarray, "vocab d"]
    ) -> "Words":
        """All words of the scenes, each embedded as the mean of its tokens inside a sentence."""
        said = {entity.label for scene in scenes for entity in scene.entities}
        said |= {
            e.attributes["color"] for s in scenes for e in s.entities if "color" in e.attributes
        }
        said |= {s.attributes["background"] for s in scenes if "background" in s.attributes}
        words = sorted(said)
        rows = [table[tokenizer.encode(f" {word}")].mean(0) for word in words]
        return cls({word: i for i, word in enumerate(words)}, np.stack(rows).astype(np.float32))

    def shares(
        self, scene: Scene, grid: int, mode: str
    ) -> tuple[Float[np.ndarray, "tokens words"], Float[np.ndarray, "tokens words"]]:
        """(which word each token is about, which colours it has besides), rows summing to <= 1."""
        about = np.zeros((grid * grid, len(self.places)), np.float32)
        colors = np.zeros_like(about)
        near = [centrality(to_square(e.box, scene, mode), grid) for e in scene.entities]
        total = np.maximum(np.sum(near, axis=0, initial=0), 1)
        for entity, share in zip(scene.entities, near, strict=True):
            about[:, self.places[entity.label]] += share / total
            if "color" in entity.attributes:
                colors[:, self.places[entity.attributes["color"]]] += share / total
        if background := scene.attributes.get("background"):
            about[:, self.places[background]] += 1 - about.sum(1)
        return about, colors


def fit_projector(
    config: ProjectorConfig,
    fresh: partition.Params,
    scenes: Sequence[Scene],
    features: Callable[[Scene], np.ndarray],
    mode: str,
    tokenizer: Tokenizer,
    table: Float[np.ndarray, "vocab d"],
    compute: Compute,
) -> partition.Params:
    """The projector after a short regression from image tokens to the words they are about.

    The error is the squared distance to the words' embeddings, mixed by how much of the token
    each box takes, plus the cross-entropy of telling the words apart by their direction.

    Args:
      fresh: its parameters before.
      features: of a scene's image: the tower's output [patches, d].
      mode: the image mode that the features were made with.
      table: the decoder's embeddings.

    Raises:
      UserError: no scene has an annotated object.
    """
    scenes = [scene for scene in scenes if scene.entities]
    if not scenes:
        raise UserError("warm_start needs scenes with annotated objects, and found none")
    words = Words.of(scenes, tokenizer, table)
    x = np.stack([np.asarray(merge_patches(features(s)[None], config.merge))[0] for s in scenes])
    grid = round(x.shape[1] ** 0.5)
    pairs = [words.shares(scene, grid, mode) for scene in scenes]
    about, colors = (np.concatenate(part) for part in zip(*pairs, strict=True))
    targets = (about + _COLOR * colors) @ words.embeddings
    x = x.reshape(-1, x.shape[-1])
    params = standardized(fresh, x[:: max(1, len(x) // 20_000)].astype(np.float32))
    return _regress(
        Projector(config, table.shape[1], compute), params, words.embeddings, (x, targets, about)
    )


def standardized(params: partition.Params, x: Float[np.ndarray, "n d"]) -> partition.Params:
    """The projector that does to x what it did to standardised features, by its first layer."""
    first = params["dense_0"]
    kernel = np.asarray(first["kernel"]) / x.std()
    bias = np.asarray(first["bias"]) - x.mean(0) @ kernel
    return {**params, "dense_0": {"kernel": kernel, "bias": bias}}


def _regress(
    projector: Projector,
    params: partition.Params,
    embeddings: Float[np.ndarray, "words d"],
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> partition.Params:
    # Tokens come merged already; the projector is told so by merging nothing.
    plain = projector.clone(config=ProjectorConfig(projector.config.kind))
    center = embeddings.mean(0)
    directions = (embeddings - center).T
    directions = directions / np.linalg.norm(directions, axis=0)

    def error(params: partition.Params, x: Array, target: Array, about: Array) -> Array:
        said = plain.apply({"params": params}, x[None])[0].astype(jnp.float32)
        length = jnp.linalg.norm(said - center, axis=-1, keepdims=True)
        named = optax.softmax_cross_entropy(
            _SHARPNESS * (said - center) / (length + 0.3) @ directions, about
        )
        return jnp.mean(jnp.square(said - target).sum(-1) + _NAMING * named)

    schedule = optax.warmup_cosine_decay_schedule(0.0, _RATE, 30, _STEPS)
    optimizer = optax.adam(schedule, b2=0.99)

    @jax.jit
    def step(params: partition.Params, state: optax.OptState, *batch: Array) -> tuple:
        updates, state = optimizer.update(jax.grad(error)(params, *batch), state)
        return optax.apply_updates(params, updates), state

    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    state, rng = optimizer.init(params), np.random.default_rng(0)
    for _ in track(range(_STEPS), "warm start of the projector", console=Console(stderr=True)):
        chosen = rng.integers(0, len(data[0]), _BATCH)
        params, state = step(params, state, *(part[chosen] for part in data))
    return params
