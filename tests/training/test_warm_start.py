import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers

from llava_jax.errors import UserError
from llava_jax.instruct.scene import Box, Entity, Scene
from llava_jax.models.compute import Compute
from llava_jax.models.projector import Projector, ProjectorConfig
from llava_jax.text.tokenizer import Tokenizer
from llava_jax.training import warm_start
from llava_jax.training.warm_start import centrality, fit_projector, standardized, to_square

WORDS = ["apple", "dog", "red", "blue"]
WIDTH, GRID = 16, 4


def make_scene(number: int, *entities: Entity, width: int = 112, background: str = "blue") -> Scene:
    return Scene(
        str(number),
        "drawn",
        "CC0",
        image=f"{number}.png",
        width=width,
        height=112,
        entities=entities,
        attributes={"background": background},
    )


def test_boxes_follow_the_image_mode() -> None:
    wide = make_scene(0, width=224)
    half = Box(0.0, 0.0, 0.5, 1.0)  # the left half of a picture twice as wide as high
    np.testing.assert_allclose(to_square(half, wide, "pad"), [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(to_square(half, wide, "crop"), [0, 0, 0.5, 1])
    square = make_scene(0)
    np.testing.assert_allclose(to_square(half, square, "crop"), [0, 0, 0.5, 1])


def test_a_token_is_about_a_box_by_how_central_it_lies() -> None:
    near = centrality(np.array([0.5, 0.0, 1.0, 0.5]), GRID).reshape(GRID, GRID)
    assert near.max() == 1
    assert (near[:2, 2:] > 0.3).all()  # the upper right quarter
    assert not near[2:].any()
    assert not near[:, :2].any()


@pytest.fixture
def words() -> Tokenizer:
    vocabulary = {"[UNK]": 0} | {word: i for i, word in enumerate(WORDS, start=1)}
    backend = tokenizers.Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return Tokenizer.from_backend(backend, bos_id=None, eos_id=0, pad_id=0)


def test_fitted_tokens_say_what_the_boxes_are_called(
    words: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that hold an object's kind in a rotated, far from centred space."""
    monkeypatch.setattr(warm_start, "_STEPS", 300)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(len(WORDS) + 1, WIDTH)).astype(np.float32)
    kinds = {"apple": rng.normal(size=24), "dog": rng.normal(size=24), None: rng.normal(size=24)}
    scenes, features = [], {}
    for number in range(60):
        label = ("apple", "dog")[number % 2]
        column = rng.integers(2) * 0.5
        scene = make_scene(number, Entity(label, Box(column, 0.0, column + 0.5, 0.5)))
        patches = np.stack([kinds[None]] * GRID**2).reshape(GRID, GRID, 24)
        patches[:2, int(column * GRID) : int(column * GRID) + 2] = kinds[label]
        scenes.append(scene)
        features[scene.id] = 3 * patches.reshape(-1, 24) + 5 + 0.1 * rng.normal(size=(GRID**2, 24))
    config = ProjectorConfig("mlp2x_gelu")
    projector = Projector(config, WIDTH, Compute())
    fresh = projector.init(jax.random.key(0), jnp.zeros((1, 16, 24)))["params"]

    def look(scene: Scene) -> np.ndarray:
        return features[scene.id].astype(np.float32)

    params = fit_projector(config, fresh, scenes, look, "crop", words, table, Compute())
    for scene in scenes[:10]:
        said = np.asarray(projector.apply({"params": params}, jnp.asarray(look(scene)[None])))[0]
        (entity,) = scene.entities
        middle = centrality(to_square(entity.box, scene, "crop"), GRID).argmax()
        nearest = np.linalg.norm(table[1:] - said[middle], axis=1).argmin()
        assert WORDS[nearest] == entity.label
        nearest = np.linalg.norm(table[1:] - 2 * said[-1], axis=1).argmin()
        assert WORDS[nearest] == "blue"  # the lower right corner shows the background


def test_standardising_is_folded_into_the_first_layer() -> None:
    x = np.random.default_rng(0).normal(3, 2, size=(50, 4)).astype(np.float32)
    params = {"dense_0": {"kernel": np.eye(4, dtype=np.float32), "bias": np.zeros(4, np.float32)}}
    first = standardized(params, x)["dense_0"]
    np.testing.assert_allclose(
        x @ first["kernel"] + first["bias"], (x - x.mean(0)) / x.std(), atol=1e-5
    )


def test_scenes_without_objects_are_refused(words: Tokenizer) -> None:
    with pytest.raises(UserError, match="annotated objects"):
        fit_projector(
            ProjectorConfig("linear"),
            {},
            [make_scene(0)],
            lambda scene: np.zeros((16, 4), np.float32),
            "crop",
            words,
            np.zeros((5, WIDTH), np.float32),
            Compute(),
        )
