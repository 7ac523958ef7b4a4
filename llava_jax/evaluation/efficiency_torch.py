"""The transformers side of the efficiency measurement; imported only where torch is installed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from llava_jax.evaluation.stopwatch import ALONE, NEW_TOKENS, ROWS, Speed, Task, pictures, stopwatch


def measure_in_transformers(folder: Path, task: Task) -> Speed:
    """The same questions, images and lengths as here, greedily, on the best device torch has."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with stopwatch() as watch, torch.no_grad():
        side = _Side(folder, task, device)
        images = pictures()
        side.answer(images[:ROWS], NEW_TOKENS)  # warms up
        side.answer(images[:1], 1)
        for image in images[ROWS : ROWS + ALONE]:
            with watch.time("first token"):
                side.answer([image], 1)
        with watch.time("answers"):
            side.answer(images[ROWS + ALONE : 2 * ROWS + ALONE], NEW_TOKENS)
        with watch.time("images"):
            side.look(images[2 * ROWS + ALONE :])
    on_gpu = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else watch.peak_bytes
    name = torch.cuda.get_device_name() if on_gpu else "cpu"
    return watch.speed("transformers", name, task.dtype, peak)


class _Side:
    def __init__(self, folder: Path, task: Task, device: torch.device):
        dtype = getattr(torch, task.dtype)
        self._model = transformers.AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        )
        self._model.eval().to(device)
        self._processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, use_fast=True
        )
        image = self._model.config.image_token_id
        ids = [image if here else id for id, here in zip(task.tokens, task.at_image, strict=True)]
        self._ids = torch.tensor([ids], device=device)

    def answer(self, images: Sequence[Image.Image], new_tokens: int) -> None:
        """Ends are left out, so that every answer has its full length."""
        ids = self._ids.expand(len(images), -1)
        self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **self._pixels(images),
            max_new_tokens=new_tokens,
            do_sample=False,
            eos_token_id=None,
        )

    def look(self, images: Sequence[Image.Image]) -> None:
        features = self._model.get_image_features(**self._pixels(images))
        torch.cat(list(features)).cpu()  # waits for them

    def _pixels(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        return dict(
            self._processor(list(images), return_tensors="pt").to(
                self._model.device, self._model.dtype
            )
        )
