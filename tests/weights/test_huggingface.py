"""Folders that transformers wrote come in with its outputs; damaged ones are named."""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from llava_jax import partition
from llava_jax.errors import UserError
from llava_jax.models.compute import Compute
from llava_jax.models.language import LanguageModel
from llava_jax.models.vision import VisionTower
from llava_jax.weights.huggingface import (
    load_language,
    load_llava,
    load_vision,
    read_vision_config,
)
from llava_jax.weights.layouts import stack_layers
from llava_jax.weights.shapes import llava_shapes
from tests.weights import tiny


def assert_same(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.llama(), tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tiny.llava(), tmp_path_factory.mktemp("llava"))


@pytest.fixture
def damaged(llama_folder: Path, tmp_path: Path) -> Path:
    """A copy of a good folder, to be spoilt."""
    return Path(shutil.copytree(llama_folder, tmp_path / "copy"))


def tower_difference(model: Any, hidden: int | None, folder: Path, **load: Any) -> float:
    """Largest difference of our features from the model's hidden state (None: after its norm)."""
    config, params = load_vision(folder, **load)
    size = config.image_size
    pixels = np.random.default_rng(0).normal(size=(1, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        out = model(torch.tensor(pixels.transpose(0, 3, 1, 2)), output_hidden_states=True)
    theirs = out.last_hidden_state if hidden is None else out.hidden_states[hidden]
    theirs = theirs.numpy()[:, 1:] if config.class_token else theirs.numpy()
    compute = Compute(scan_layers=load.get("scan_layers", False))
    ours = jax.jit(VisionTower(config, compute).apply)({"params": params}, pixels)
    return float(np.abs(np.asarray(ours) - theirs).max())


@pytest.mark.parametrize("scan_layers", [False, True])
def test_clip(tmp_path: Path, scan_layers: bool):
    model = tiny.clip()
    folder = tiny.save(model, tmp_path)
    assert tower_difference(model, -2, folder, scan_layers=scan_layers) < 1e-5


def test_clip_with_its_text_half_and_as_transformers_5_names_it(tmp_path: Path):
    half = {**tiny.TOWER, "num_hidden_layers": 1}
    whole = CLIPModel(CLIPConfig(vision_config=tiny.TOWER, text_config=half)).eval()
    folder = tiny.save(whole, tmp_path / "whole")
    assert tower_difference(whole.vision_model, -2, folder) < 1e-5
    alone = tiny.clip()
    folder = tiny.save(alone, tmp_path / "alone")
    prefix = "vision_model."
    tiny.edit_tensors(folder, lambda t: {k.removeprefix(prefix): v for k, v in t.items()})
    assert tower_difference(alone, -2, folder) < 1e-5


def test_siglip(tmp_path: Path):
    torch.manual_seed(0)
    model = SiglipVisionModel(SiglipVisionConfig(**tiny.TOWER)).eval()
    assert tower_difference(model, -2, tiny.save(model, tmp_path)) < 1e-5


def test_dinov2(tmp_path: Path):
    torch.manual_seed(0)
    sizes = {k: v for k, v in tiny.TOWER.items() if k != "intermediate_size"}
    model = Dinov2Model(Dinov2Config(**sizes)).eval()
    assert tower_difference(model, None, tiny.save(model, tmp_path)) < 1e-5


def test_another_layer_than_the_folder_s_default(tmp_path: Path):
    model = tiny.clip()
    folder = tiny.save(model, tmp_path)
    config = read_vision_config(folder)
    last = type(config)(**{**vars(config), "feature_layers": (-1,)})
    assert tower_difference(model, -1, folder, config=last) < 1e-5
    assert "blocks_2" in load_vision(folder, config=last)[1]
    assert "blocks_2" not in load_vision(folder)[1]


def logits(folder: Path, **load: Any) -> tuple[np.ndarray, np.ndarray]:
    config, params = load_language(folder, **load)
    model = LanguageModel(config, Compute(scan_layers=load.get("scan_layers", False)))
    tokens = np.arange(10)[None] * 7 % config.vocab_size

    def run(m: LanguageModel, tokens: Any) -> Any:
        positions = jnp.arange(10)[None]
        return m.logits(m(m.embed_tokens(tokens), positions, jnp.ones_like(positions)))

    apply = jax.jit(lambda params: model.apply({"params": params}, jnp.asarray(tokens), method=run))
    return tokens, np.asarray(apply(params))


@pytest.mark.parametrize(
    ("changes", "scan_layers"),
    [
        ({}, False),
        ({}, True),
        ({"tie_word_embeddings": True}, False),
        ({"head_dim": 6}, False),
        (
            {
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 16,
                }
            },
            False,
        ),
    ],
)
def test_llama(tmp_path: Path, changes: dict, scan_layers: bool):
    model = tiny.llama(**changes)
    tokens, ours = logits(tiny.save(model, tmp_path), scan_layers=scan_layers)
    with torch.no_grad():
        theirs = model(torch.tensor(tokens)).logits.numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_shards_hold_what_one_file_holds(llama_folder: Path, tmp_path: Path):
    folder = tiny.save(tiny.llama(), tmp_path, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert_same(load_language(folder), load_language(llama_folder))


def test_numbers_keep_their_dtype_unless_told(tmp_path: Path, llama_folder: Path):
    folder = tiny.save(tiny.llama().to(torch.bfloat16), tmp_path)
    kept = load_language(folder)[1]["norm"]["scale"]
    assert kept.dtype == jnp.bfloat16
    converted = load_language(folder, dtype=np.float32)[1]
    assert {leaf.dtype for leaf in jax.tree.leaves(converted)} == {np.dtype(np.float32)}
    exact = load_language(llama_folder)[1]["embed"]["embedding"]
    np.testing.assert_array_equal(
        converted["embed"]["embedding"], exact.astype(jnp.bfloat16).astype(np.float32)
    )


def test_every_naming_of_one_llava_gives_the_same_parameters(llava_folder: Path, tmp_path: Path):
    config, expected = load_llava(llava_folder)
    paths = {path: leaf.shape for path, leaf in partition.flatten(expected).items()}
    assert paths == llava_shapes(config)
    assert_same(load_llava(llava_folder, scan_layers=True)[1], stack_layers(expected))

    def without_vision_model(tensors: dict) -> dict:
        return {
            k.replace("vision_tower.vision_model.", "vision_tower."): v for k, v in tensors.items()
        }

    def in_memory(tensors: dict) -> dict:
        return {name: tensor.clone() for name, tensor in tiny.llava().state_dict().items()}

    edits = {
        "five": [without_vision_model],
        "memory four": [in_memory],
        "memory five": [in_memory, without_vision_model],
    }
    for name, steps in edits.items():
        folder = Path(shutil.copytree(llava_folder, tmp_path / name))
        for step in steps:
            tiny.edit_tensors(folder, step)
        assert_same(load_llava(folder), (config, expected))


def test_a_llava_in_pieces_is_the_whole(llava_folder: Path, tmp_path: Path):
    """The tower's and the decoder's own folders hold the parts of the parameters."""
    model, (_, params) = tiny.llava(), load_llava(llava_folder)
    tower = tiny.save(model.model.vision_tower, tmp_path / "tower")
    assert_same(load_vision(tower)[1], params["vision"])
    decoder = tiny.llama()
    decoder.model, decoder.lm_head = model.model.language_model, model.lm_head
    assert_same(load_language(tiny.save(decoder, tmp_path / "decoder"))[1], params["language"])


@pytest.mark.golden
@pytest.mark.parametrize("name", ["llava_mlp", "llava_gqa_linear", "llava_anyres"])
def test_the_original_s_layout(golden_dir: Path, name: str):
    folder = golden_dir / "tiny_model"
    config, params = load_llava(folder / name, vision_folder=folder / "clip")
    shapes = {path: leaf.shape for path, leaf in partition.flatten(params).items()}
    assert shapes == llava_shapes(config)
    # None of the three was trained further than its CLIP, whether it holds the tower or not.
    assert_same(params["vision"], load_vision(folder / "clip")[1])
    assert config.image_tokens == 16


@pytest.mark.golden
@pytest.mark.golden
def test_the_original_s_tower_is_found_beside_it_or_asked_for(golden_dir: Path, tmp_path: Path):
    folder = golden_dir / "tiny_model" / "llava_gqa_linear"
    _, params = load_llava(folder)
    _, tower = load_vision(golden_dir / "tiny_model" / "clip")
    assert_same(params["vision"], tower)
    alone = Path(shutil.copytree(folder, tmp_path / "alone"))
    with pytest.raises(UserError, match="leaves out its vision tower 'clip': give its folder"):
        load_llava(alone)


def test_missing_unknown_and_misshapen_tensors_are_named(damaged: Path):
    def spoil(tensors: dict) -> dict:
        del tensors["model.norm.weight"]
        up = "model.layers.1.mlp.up_proj.weight"
        return tensors | {"adapter.weight": torch.zeros(1), up: torch.zeros(7, 32)}

    tiny.edit_tensors(damaged, spoil)
    with pytest.raises(UserError) as error:
        load_language(damaged)
    for part in (
        str(damaged),
        "missing model.norm.weight",
        "unknown adapter.weight",
        "model.layers.1.mlp.up_proj.weight [7, 32] instead of [80, 32]",
    ):
        assert part in str(error.value)


def test_a_config_of_another_size_is_an_error(damaged: Path):
    tiny.edit_config(damaged, lambda config: config | {"num_hidden_layers": 1})
    with pytest.raises(UserError, match=r"unknown model\.layers\.1\.input_layernorm\.weight"):
        load_language(damaged)


def test_a_truncated_file_is_named(damaged: Path):
    path = damaged / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r"model\.safetensors is truncated or damaged"):
        load_language(damaged)


def test_a_missing_shard_is_named(tmp_path: Path):
    folder = tiny.save(tiny.llama(), tmp_path, max_shard_size="20KB")
    gone = sorted(folder.glob("model-*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(UserError, match=f"{gone.name} is missing"):
        load_language(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "cannot read"),
        ("config.json", "[]", "should hold a JSON object"),
        ("model.safetensors", None, "holds no checkpoint: it has none of model.safetensors"),
    ],
)
def test_folders_that_are_no_checkpoint(
    damaged: Path, name: str, content: str | None, message: str
):
    if content is None:
        (damaged / name).unlink()
    else:
        (damaged / name).write_text(content)
    with pytest.raises(UserError, match=message):
        load_language(damaged)
