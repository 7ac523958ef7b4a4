"""A checkpoint on disk as an engine that answers."""

import sys

from llava_jax.inference.engine import Engine
from llava_jax.inference.parameters import for_answers
from llava_jax.inference.placement import tensor_mesh
from llava_jax.run_folder import refuse_url
from llava_jax.weights.opening import load_model


def open_engine(checkpoint: str, template: str, *, tensor: int, int8: bool) -> Engine:
    """What --checkpoint, --template, --tensor and --int8 ask for.

    Raises:
      UserError: a folder that holds no model, a template that is none, more devices than there are.
    """
    refuse_url("--checkpoint", checkpoint)
    mesh = tensor_mesh(tensor)
    print(f"reading {checkpoint} ...", file=sys.stderr)
    model = load_model(checkpoint, template)
    return Engine(
        model.config,
        model.params,
        for_answers(model.compute, int8_weights=int8, chips=tensor),
        model.tokenizer,
        model.template,
        model.image_mode,
        as_trained=model.as_trained,
        mesh=mesh,
    )
