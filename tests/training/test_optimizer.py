import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from llava_jax.config import Optimizer
from llava_jax.errors import UserError
from llava_jax.training.optimizer import make_optimizer

PARAMS = {
    "projector": {"dense_0": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}},
    "language": {"norm": {"scale": jnp.ones(2)}, "embed": {"embedding": jnp.ones((3, 2))}},
}
GRADS = {
    "projector": {"dense_0": {"kernel": jnp.full((2, 2), 0.3), "bias": jnp.full(2, -2.0)}},
    "language": {"norm": {"scale": jnp.full(2, 0.1)}, "embed": {"embedding": jnp.ones((3, 2))}},
}


def test_ten_steps_equal_torchs_adamw_with_groups_clipping_and_decay() -> None:
    config = Optimizer(
        learning_rate=1e-2,
        rates=(("projector/.*", 5e-2),),
        warmup=0.0,
        weight_decay=0.1,
        clip=1.0,
    )
    optimizer = make_optimizer(config, PARAMS, steps=1_000_000)  # so long that rates stay
    params, state = PARAMS, optimizer.init(PARAMS)

    def tensor(array: jnp.ndarray) -> torch.Tensor:
        return torch.tensor(np.asarray(array).copy(), requires_grad=True)

    kernel, bias = (tensor(PARAMS["projector"]["dense_0"][name]) for name in ("kernel", "bias"))
    scale = tensor(PARAMS["language"]["norm"]["scale"])
    embedding = tensor(PARAMS["language"]["embed"]["embedding"])
    groups = [
        {"params": [kernel], "lr": 5e-2, "weight_decay": 0.1},
        {"params": [bias], "lr": 5e-2, "weight_decay": 0.0},
        {"params": [embedding], "lr": 1e-2, "weight_decay": 0.1},
        {"params": [scale], "lr": 1e-2, "weight_decay": 0.0},
    ]
    theirs = torch.optim.AdamW(groups, eps=config.eps)
    for step in range(10):
        grads = jax.tree.map(lambda leaf: (1 + step) * leaf, GRADS)  # noqa: B023
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        for leaf, grad in (
            (kernel, grads["projector"]["dense_0"]["kernel"]),
            (bias, grads["projector"]["dense_0"]["bias"]),
            (scale, grads["language"]["norm"]["scale"]),
            (embedding, grads["language"]["embed"]["embedding"]),
        ):
            leaf.grad = torch.tensor(np.asarray(grad).copy())
        torch.nn.utils.clip_grad_norm_([kernel, bias, scale, embedding], 1.0)
        theirs.step()
    for mine, leaf in (
        (params["projector"]["dense_0"]["kernel"], kernel),
        (params["projector"]["dense_0"]["bias"], bias),
        (params["language"]["norm"]["scale"], scale),
        (params["language"]["embed"]["embedding"], embedding),
    ):
        np.testing.assert_allclose(mine, leaf.detach().numpy(), rtol=1e-5)


def test_the_state_knows_only_what_is_trained() -> None:
    optimizer = make_optimizer(Optimizer(), {"projector": PARAMS["projector"]}, steps=10)
    state = optimizer.init({"projector": PARAMS["projector"]})
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert sum(leaf.size for leaf in moments) == 2 * (4 + 2)  # two moments of kernel and bias


def test_rates_for_parameters_that_are_not_there_are_refused() -> None:
    with pytest.raises(UserError, match="projektor"):
        make_optimizer(Optimizer(rates=(("projektor/.*", 1e-3),)), PARAMS, steps=10)
