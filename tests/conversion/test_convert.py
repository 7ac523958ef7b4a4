"""Every dialect in, every dialect out, and back again: equal bit by bit, or nothing is written."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from rich.console import Console
from safetensors.numpy import load_file
from safetensors.torch import save_file

from llava_jax.conversion import convert as module
from llava_jax.conversion import verify
from llava_jax.conversion.convert import Conversion, convert
from llava_jax.errors import UserError
from llava_jax.weights.opening import load_model, open_checkpoint
from tests.conftest import REPOSITORY
from tests.weights.tiny import edit_config, edit_tensors


def converted(source: Path, target: Path, form: str, console: Console, **options: Any) -> Path:
    convert(Conversion(str(source), target, form, **options), console)
    return target


def tensors(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model.safetensors")


def assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype, name
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("way", [["hf"], ["orbax", "hf"], ["original", "hf"]])
def test_from_transformers_and_back(
    hf_folder: Path, tmp_path: Path, console: Console, way: list[str]
):
    folder = hf_folder
    for number, form in enumerate(way):
        folder = converted(folder, tmp_path / f"{number}", form, console, verify=True)
    assert_same(tensors(hf_folder), tensors(folder))
    ours, theirs = (json.loads((f / "config.json").read_text()) for f in (folder, hf_folder))
    for key in ("image_token_index", "pad_token_id", "vision_feature_layer", "image_seq_length"):
        assert ours[key] == theirs[key], key
    assert ours["text_config"]["vocab_size"] == theirs["text_config"]["vocab_size"]


def test_what_llava_does_not_read_comes_along(hf_folder: Path, tmp_path: Path, console: Console):
    """The tower's last block and its final norm."""
    names = {n for n in tensors(hf_folder) if "layers.2." in n or "post_layernorm" in n}
    assert names
    original = converted(hf_folder, tmp_path / "original", "original", console)
    tower = load_file(original / "vision_tower" / "model.safetensors")
    for name in (n for n in names if n.startswith("vision_tower.")):
        inside = name.removeprefix("vision_tower.")
        np.testing.assert_array_equal(tower[inside], tensors(hf_folder)[name])


@pytest.mark.golden
@pytest.mark.parametrize("name", ["llava_mlp", "llava_anyres"])
@pytest.mark.parametrize("by", ["hf", "orbax"])
def test_from_the_original_and_back(
    golden_dir: Path, tmp_path: Path, console: Console, name: str, by: str
):
    folder = golden_dir / "tiny_model" / name
    there = converted(folder, tmp_path / "there", by, console, verify=True)
    back = converted(there, tmp_path / "back", "original", console, verify=True)
    before, after = tensors(folder), tensors(back)
    tower = "model.vision_tower."
    assert_same(
        {n: t for n, t in before.items() if not n.startswith(tower)},
        {n: t for n, t in after.items() if not n.startswith(tower)},
    )
    whole = load_file(back / "vision_tower" / "model.safetensors")
    clip = load_file(golden_dir / "tiny_model" / "clip" / "model.safetensors")
    tuned = {
        n.removeprefix("model.vision_tower.vision_tower."): t
        for n, t in before.items()
        if n.startswith(tower)
    }
    assert_same(tuned or clip, whole)


@pytest.mark.golden
def test_the_export_computes_in_transformers_what_the_original_computed(
    golden_dir: Path, tmp_path: Path, console: Console
):
    folder = golden_dir / "tiny_model" / "llava_mlp"
    target = converted(folder, tmp_path / "hf", "hf", console)
    model = transformers.LlavaForConditionalGeneration.from_pretrained(target).eval()
    golden = np.load(folder / "golden.npz")
    ids, mask = golden["input_ids"][0], golden["attention_mask"][0]
    ids = np.repeat(ids[mask], np.where(ids[mask] == -200, model.config.image_seq_length, 1))
    ids[ids == -200] = model.config.image_token_id
    with torch.no_grad():
        out = model(
            input_ids=torch.tensor(ids[None]), pixel_values=torch.tensor(golden["images"][:1])
        )
    wanted = golden["logits"][0, : len(ids)]
    np.testing.assert_allclose(out.logits[0, :, : wanted.shape[1]], wanted, atol=1e-4, rtol=0)


@pytest.mark.golden
def test_a_linear_projector_has_no_place_in_transformers(
    golden_dir: Path, tmp_path: Path, console: Console
):
    folder = golden_dir / "tiny_model" / "llava_gqa_linear"
    with pytest.raises(UserError, match="projector is always mlp2x_gelu, this one is linear"):
        converted(folder, tmp_path / "hf", "hf", console)
    back = converted(folder, tmp_path / "original", "original", console, verify=True)
    assert_same(tensors(folder), tensors(back))


def test_the_vocabulary_is_padded_with_its_mean_and_cut_again(
    hf_folder: Path, tmp_path: Path, console: Console
):
    """As from the original, which has neither image nor pad token."""
    small = tmp_path / "small"
    shutil.copytree(converted(hf_folder, tmp_path / "original", "original", console), small)
    cut = {"lm_head.weight", "model.embed_tokens.weight"}
    edit_tensors(small, lambda t: {n: x[:300].clone() if n in cut else x for n, x in t.items()})
    keys = ("image_token_index", "pad_token_id")
    edit_config(
        small, lambda c: {k: v for k, v in c.items() if k not in keys} | {"vocab_size": 300}
    )
    for path in small.glob("*token*"):
        path.unlink()
    padded = tensors(converted(small, tmp_path / "hf", "hf", console, verify=True))
    rows = padded["language_model.model.embed_tokens.weight"]
    assert rows.shape[0] == 320  # 300, an image and a pad token, and on to a multiple of 64
    np.testing.assert_allclose(rows[300:], np.tile(rows[:300].mean(0), (20, 1)), atol=1e-6)
    again = tensors(converted(tmp_path / "hf", tmp_path / "back", "original", console))
    assert_same({n: tensors(small)[n] for n in cut}, {n: again[n] for n in cut})


def test_a_projector_alone_and_the_rest_of_it(hf_folder: Path, tmp_path: Path, console: Console):
    whole = converted(hf_folder, tmp_path / "original", "original", console)
    alone = converted(hf_folder, tmp_path / "projector", "projector", console, verify=True)
    stored = torch.load(alone / "mm_projector.bin", weights_only=True)
    assert set(stored) == {
        f"model.mm_projector.{i}.{p}" for i in (0, 2) for p in ("weight", "bias")
    }
    decoder = tmp_path / "decoder"
    model = transformers.LlavaForConditionalGeneration.from_pretrained(hf_folder)
    language = transformers.LlamaForCausalLM(model.config.text_config)
    parts = model.language_model.state_dict()
    parts = {f"model.{n}": t for n, t in parts.items()} | {"lm_head.weight": model.lm_head.weight}
    language.load_state_dict(parts)
    language.save_pretrained(decoder)
    options = {"vision": str(whole / "vision_tower"), "language": str(decoder)}
    joined = converted(alone, tmp_path / "joined", "hf", console, verify=True, **options)
    ours, theirs = tensors(joined), tensors(hf_folder)
    for name, tensor in theirs.items():
        np.testing.assert_array_equal(ours[name][: len(tensor)], tensor, err_msg=name)


def test_a_fresh_start_draws_the_projector(hf_folder: Path, tmp_path: Path, console: Console):
    whole = converted(hf_folder, tmp_path / "original", "original", console)
    config = transformers.LlamaConfig(vocab_size=96, hidden_size=32, num_attention_heads=4)
    config.num_hidden_layers, config.intermediate_size = 1, 64
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "decoder")
    with pytest.raises(UserError, match="a decoder alone: give --vision"):
        converted(tmp_path / "decoder", tmp_path / "no", "orbax", console)
    made = converted(
        tmp_path / "decoder", tmp_path / "fresh", "orbax", console,
        vision=str(whole / "vision_tower"), verify=True,
    )  # fmt: skip
    opened = open_checkpoint(str(made))
    kernel = opened.tensors["projector/dense_0/kernel"].read()
    assert 0 < np.abs(kernel).max() <= 32**-0.5


def test_start_and_end_tokens_of_the_first_llava(hf_folder: Path, tmp_path: Path, console: Console):
    """They stand around the image in every prompt, here and in the exported chat template."""
    original = converted(hf_folder, tmp_path / "original", "original", console)
    edit_config(original, lambda config: config | {"mm_use_im_start_end": True})
    model = load_model(str(original))
    assert model.template.image_wrap == ("<im_start>", "<im_end>")
    there = converted(original, tmp_path / "hf", "hf", console)
    processor = transformers.AutoProcessor.from_pretrained(there)
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi?"}]}]
    assert "USER: <im_start><image><im_end>\nHi? ASSISTANT:" in processor.apply_chat_template(
        chat, chat_template=processor.chat_template["default"], add_generation_prompt=True
    )


def test_the_program_says_how_it_went(hf_folder: Path, tmp_path: Path):
    """Exit code 0 with the figures, 2 with one line."""

    def run(target: str, form: str) -> subprocess.CompletedProcess[str]:
        flags = [f"--source={hf_folder}", f"--target={tmp_path / target}", f"--format={form}"]
        return subprocess.run(
            [sys.executable, "launch/convert.py", *flags, "--verify"],
            cwd=REPOSITORY, env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True, text=True,
        )  # fmt: skip

    done = run("there", "original")
    assert done.returncode == 0, done.stderr
    assert "top1 agreement" in done.stderr
    again = run("there", "original")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr


def test_another_dtype(hf_folder: Path, tmp_path: Path, console: Console):
    target = converted(hf_folder, tmp_path / "half", "hf", console, dtype="bfloat16")
    opened = open_checkpoint(str(target))
    assert {t.dtype.name for t in opened.tensors.values()} == {"bfloat16"}
    model = transformers.LlavaForConditionalGeneration.from_pretrained(target, dtype="auto")
    assert model.dtype == torch.bfloat16


def spoilt_nan(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = "language_model.model.norm.weight"
    return tensors | {name: torch.full_like(tensors[name], float("nan"))}


def spoilt_shape(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    name = "language_model.model.norm.weight"
    return tensors | {name: tensors[name][:-1].clone()}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoilt_nan, "language/norm/scale"),
        (spoilt_shape, r"language_model.model.norm.weight \[31\] instead of \[32\]"),
        (lambda t: t | {"extra": torch.zeros(1)}, "unknown extra"),
        (lambda t: {n: x for n, x in t.items() if "lm_head" not in n}, "missing .*lm_head"),
    ],
    ids=["nan", "shape", "unknown", "missing"],
)
@pytest.mark.parametrize("form", ["hf", "original", "orbax"])
def test_bad_tensors_are_named_and_nothing_is_left(
    hf_folder: Path, tmp_path: Path, console: Console, spoil: Any, message: str, form: str
):
    source = Path(shutil.copytree(hf_folder, tmp_path / "source"))
    save_file(spoil(_torch(source)), source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=message):
        converted(source, tmp_path / "target", form, console)
    assert {path.name for path in tmp_path.iterdir()} == {"source"}


def _torch(folder: Path) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(array) for name, array in tensors(folder).items()}


def test_a_truncated_file_and_a_missing_shard(hf_folder: Path, tmp_path: Path, console: Console):
    source = Path(shutil.copytree(hf_folder, tmp_path / "source"))
    data = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="truncated or damaged"):
        converted(source, tmp_path / "target", "original", console)
    model = transformers.LlavaForConditionalGeneration.from_pretrained(hf_folder)
    shards = tmp_path / "shards"
    model.save_pretrained(shards, max_shard_size="50KB")
    same = converted(shards, tmp_path / "same", "hf", console)
    assert_same(tensors(hf_folder), tensors(same))
    lost = sorted(shards.glob("model-*"))[0]
    lost.unlink()
    with pytest.raises(UserError, match=lost.name):
        converted(shards, tmp_path / "target", "hf", console)
    assert not (tmp_path / "target").exists()


def test_a_full_disk_is_said_beforehand(
    hf_folder: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(UserError, match=r"needs .* GB and the disk has 0.0"):
        converted(hf_folder, tmp_path / "target", "hf", console)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(hf_folder: Path, tmp_path: Path, console: Console):
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        converted(hf_folder, tmp_path, "hf", console)
    assert (tmp_path / "mine").read_text() == "precious"


def test_large_models_are_compared_in_bfloat16(
    hf_folder: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(verify, "_SMALL", 0)
    job = Conversion(str(hf_folder), tmp_path / "hf", "hf", dtype="bfloat16", verify=True)
    figures = convert(job, console)["comparison"]
    assert figures["dtype"] == "bfloat16"
    assert 0 < figures["relative_difference"] < 0.05


def test_a_target_that_computes_something_else_is_not_kept(
    hf_folder: Path, tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
):
    honest = module.write_hf

    def wrong(llava: Any, folder: Path, progress: Any) -> None:
        honest(llava, folder, progress)
        name = "multi_modal_projector.linear_1.bias"
        edit_tensors(folder, lambda t: t | {name: t[name] + 0.01})

    monkeypatch.setattr(module, "write_hf", wrong)
    with pytest.raises(UserError, match="does not compute what the source does"):
        converted(hf_folder, tmp_path / "target", "hf", console, verify=True)
    assert list(tmp_path.iterdir()) == []
