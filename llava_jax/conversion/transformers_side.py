"""An exported LLaVA in transformers, on torch; imported only where both are installed."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from llava_jax.conversion.trial import NEW_TOKENS, Outcome, Trial


def run_in_transformers(folder: Path, trial: Trial, dtype: np.dtype) -> Outcome:
    """What transformers makes of the trial with the model in the folder."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=getattr(torch, dtype.name), local_files_only=True
    ).eval()
    inputs = _inputs(model.config, trial, next(model.parameters()).dtype)
    with torch.no_grad():
        logits = model(**inputs).logits[0].float().numpy()
        # Ends are left out, so that both sides write the same number of tokens.
        tokens = model.generate(
            **inputs, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None
        )
    return Outcome(logits, tokens[0, inputs["input_ids"].shape[1] :].tolist())


def _inputs(config: Any, trial: Trial, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    at_image = trial.prompt.image_slots != -1
    ids = np.where(at_image, config.image_token_id, trial.prompt.tokens)
    pixels = torch.tensor(trial.views.transpose(0, 3, 1, 2), dtype=dtype)
    inputs = {
        "input_ids": torch.tensor(ids[None], dtype=torch.long),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
        "pixel_values": pixels,
    }
    if config.model_type == "llava_next":
        width, height = trial.size
        inputs |= {
            "pixel_values": pixels[None],
            "image_sizes": torch.tensor([[height, width]]),
        }
    return inputs
