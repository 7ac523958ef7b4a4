"""A recipe small enough to train in a test: two stages on a tiny tower, decoder and data set."""

import json
from pathlib import Path

import ml_collections
import numpy as np
from PIL import Image

from llava_jax.config import new_recipe, new_source
from llava_jax.models.sizes import LANGUAGE, VISION

COLORS = {"red": (200, 30, 30), "green": (30, 180, 60), "blue": (40, 60, 210), "white": (240,) * 3}
RECORDS = 24


def make_weights(folder: Path, *, wild: bool = False) -> None:
    """Hugging Face folders `tower` and `decoder` of random models, of the sizes named tiny.

    wild: so far from a usual start that answers depend on every word and patch.
    """
    # Not at the top: programs that only read a config file of `write_config` start faster.
    import torch
    import transformers

    from tests.models.from_torch import randomized

    torch.manual_seed(0)
    tower, decoder = VISION["tiny_clip"], LANGUAGE["tiny_llama"]
    vision = transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(
            hidden_size=tower.width,
            intermediate_size=tower.mlp_width,
            num_hidden_layers=tower.depth,
            num_attention_heads=tower.heads,
            image_size=tower.image_size,
            patch_size=tower.patch_size,
        )
    )
    language = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=decoder.vocab_size,
            hidden_size=decoder.width,
            intermediate_size=decoder.mlp_width,
            num_hidden_layers=decoder.depth,
            num_attention_heads=decoder.heads,
            num_key_value_heads=decoder.kv_heads,
            rms_norm_eps=decoder.norm_eps,
            max_position_embeddings=decoder.max_length,
        )
    )
    for model, name in ((vision, "tower"), (language, "decoder")):
        (randomized(model) if wild else model).save_pretrained(folder / name)
    _save_tokenizer(folder / "decoder", decoder.vocab_size)


def _save_tokenizer(folder: Path, size: int) -> None:
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["USER: What colour is it? ASSISTANT: It is red."], trainer)
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"})
    )


def make_data(folder: Path) -> None:
    """captions.json, instructions.json and images/: plain squares and what colour they are."""
    (folder / "images").mkdir(parents=True)
    captions, instructions = [], []
    for i in range(RECORDS):
        color = list(COLORS)[i % len(COLORS)]
        pixels = np.full((60 + i, 60, 3), COLORS[color], np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{i}.png")
        record = {"id": str(i), "image": f"{i}.png"}
        captions.append(record | {"conversations": turns("<image>\nSay it.", f"All {color}.")})
        asked = turns("<image>\nWhat colour is it?", f"It is {color}.")
        instructions.append(record | {"conversations": asked + turns("Sure?", "Yes.")})
    instructions[3].pop("image")
    instructions[3]["conversations"] = turns("Which colours are there?", "Red and blue.")
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "instructions.json").write_text(json.dumps(instructions))


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def tiny_recipe(folder: Path) -> ml_collections.ConfigDict:
    """The recipe over what `make_weights` and `make_data` left in the folder."""
    config = new_recipe("align", "instruct")
    config.name = "tiny"
    config.model.vision, config.model.language = "tiny_clip", "tiny_llama"
    config.weights.vision = str(folder / "tower")
    config.weights.language = str(folder / "decoder")
    config.dtype = "float32"
    config.log_every, config.save_every = 2, 2
    for stage, data in ((config.stage.align, "captions"), (config.stage.instruct, "instructions")):
        stage.data[data] = new_source(str(folder / f"{data}.json"), str(folder / "images"))
        stage.steps, stage.rows, stage.length = 8, 4, 96
    config.stage.instruct.trainable = ("projector/.*", "language/.*")
    config.stage.instruct.template = "vicuna_v1"
    config.stage.instruct.image_mode = "pad"
    config.stage.instruct.length = 256
    return config


def write_config(folder: Path, lines: str = "") -> Path:
    """The recipe as a config file for the launcher; `lines` change `config` further."""
    path = folder / "tiny_config.py"
    path.write_text(
        "from pathlib import Path\n"
        "from tests.interrupt import interrupt_as_told\n"
        "from tests.tiny_run import tiny_recipe\n\n\n"
        "def get_config():\n"
        "    interrupt_as_told()\n"
        f"    config = tiny_recipe(Path({str(folder)!r}))\n"
        + "".join(f"    {line}\n" for line in lines.splitlines())
        + "    return config\n"
    )
    return path


def losses(workdir: Path, stage: str) -> list[float]:
    """What a stage has logged so far; a line that is being written is not counted yet."""
    path = workdir / "stages" / stage / "metrics.jsonl"
    if not path.exists():
        return []
    lines = [line for line in path.read_text().splitlines() if line.endswith("}")]
    return [json.loads(line)["loss"] for line in lines]
