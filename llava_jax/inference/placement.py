"""Where a model and its cache lie when the chips of a mesh share each product (its tensor axis)."""

from functools import partial
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llava_jax import partition, sharding
from llava_jax.config import MeshShape
from llava_jax.errors import UserError
from llava_jax.mesh import TENSOR, make_mesh
from llava_jax.models.cache import Cache
from llava_jax.models.compute import Compute
from llava_jax.models.language import make_cache
from llava_jax.models.llava import LlavaConfig


def tensor_mesh(chips: int) -> Mesh | None:
    """The first `chips` devices of this process, to share each product; one needs no mesh.

    Raises:
      UserError: there are fewer.
    """
    devices = jax.local_devices()
    if not 0 < chips <= len(devices):
        raise UserError(
            f"--tensor={chips}: take a number from 1 to the {len(devices)} devices here"
        )
    return make_mesh(MeshShape(tensor=chips), devices[:chips]) if chips > 1 else None


def placed_params(
    params: partition.Params, config: LlavaConfig, mesh: Mesh | None
) -> dict[str, Any]:
    """Parameters cut over the chips, each of which takes its own part alone.

    Raises:
      UserError: a mesh that does not divide the model's heads.
    """
    if mesh is None:
        return jax.device_put(params)
    check_heads(config, mesh)
    specs = sharding.parameter_specs(params, mesh)
    return sharding.place(params, sharding.abstract(params, specs, mesh))


def empty_cache(
    config: LlavaConfig, compute: Compute, batch: int, length: int, mesh: Mesh | None
) -> Cache:
    """A cache of which no chip ever holds more than its own part."""
    make = partial(make_cache, config.language, compute, batch, length)
    if mesh is None:
        return make()
    return jax.jit(make, out_shardings=cache_places(config, compute, mesh))()


def cache_places(config: LlavaConfig, compute: Compute, mesh: Mesh) -> Any:
    """Each chip holds the keys and values of its own heads."""
    place = NamedSharding(mesh, PartitionSpec(None, None, TENSOR, None, None))
    empty = jax.eval_shape(lambda: make_cache(config.language, compute, 1, 1))
    return jax.tree.map(lambda _: place, empty)


def check_heads(config: LlavaConfig, mesh: Mesh) -> None:
    """Raises UserError unless each chip gets whole heads."""
    heads, chips = config.language.kv_heads, mesh.shape[TENSOR]
    if heads % chips:
        raise UserError(
            f"{heads} heads of keys cannot be shared by {chips} chips: take a number of chips that "
            "divides them"
        )
