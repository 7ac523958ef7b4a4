"""Runs in whatever transformers its environment has: makes a tiny LLaVA, or runs one.

python in_transformers.py make FOLDER
python in_transformers.py run FOLDER INPUTS.npz OUTPUTS.npz
"""

import sys

import numpy as np
import torch
import transformers
from PIL import Image

TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
}
DECODER = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def make(folder: str) -> None:
    torch.manual_seed(1)
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**TOWER),
        text_config=transformers.LlamaConfig(**DECODER),
        image_token_index=96,
    )
    model = transformers.LlavaForConditionalGeneration(config).eval()
    for weight in model.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder)


def run(folder: str, inputs: str, outputs: str) -> None:
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32
    ).eval()
    given = np.load(inputs)
    arguments = {
        "input_ids": torch.tensor(given["ids"]),
        "attention_mask": torch.ones_like(torch.tensor(given["ids"])),
        "pixel_values": torch.tensor(given["pixels"]),
    }
    with torch.no_grad():
        logits = model(**arguments).logits.numpy()
        tokens = model.generate(**arguments, max_new_tokens=8, do_sample=False, eos_token_id=None)
    found = {"logits": logits, "tokens": tokens[:, arguments["input_ids"].shape[1] :].numpy()}
    if "picture" in given:
        processor = transformers.AutoProcessor.from_pretrained(folder)
        chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi?"}]}]
        for name in ("default", "llava_hf"):
            template = processor.chat_template[name]
            found[f"text_{name}"] = processor.apply_chat_template(
                chat, chat_template=template, add_generation_prompt=True
            )
        read = processor(
            images=Image.fromarray(given["picture"]), text=str(found["text_default"]),
            return_tensors="np",
        )  # fmt: skip
        found |= {"pixels": read["pixel_values"], "ids": read["input_ids"]}
    np.savez(outputs, **found)


if __name__ == "__main__":
    {"make": make, "run": run}[sys.argv[1]](*sys.argv[2:])
