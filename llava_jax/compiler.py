"""What XLA is told when it compiles for a TPU, beyond its defaults."""

from jax.sharding import Mesh

# On v5e and v6e these are the defaults. On v4 and v5p every gather of weights would otherwise
# hold up the products; with them more than half of the bytes travel meanwhile.
_OVERLAPPED_GATHERS = {
    "xla_enable_async_all_gather": "true",
    "xla_tpu_enable_async_collective_fusion": "true",
    "xla_tpu_enable_async_collective_fusion_fuse_all_gather": "true",
    "xla_tpu_enable_async_collective_fusion_multiple_steps": "true",
    "xla_tpu_overlap_compute_collective_tc": "true",
}
_KINDS = {"TPU v4": _OVERLAPPED_GATHERS, "TPU v5": _OVERLAPPED_GATHERS}  # "TPU v5" is a v5p


def compiler_options(mesh: Mesh) -> dict[str, str] | None:
    """For `lowered.compile(...)` of a program over this mesh."""
    return _KINDS.get(mesh.devices.flat[0].device_kind)
