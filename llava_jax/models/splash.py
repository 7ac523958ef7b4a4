"""Causal attention within segments on a TPU: JAX's splash kernel, forward and backward.

It never holds the scores, and skips the blocks above the diagonal.
"""

from functools import partial

import jax
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as kernels,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
)
from jax.sharding import AxisType, PartitionSpec
from jaxtyping import Array, Float, Int

from llava_jax.errors import UserError
from llava_jax.mesh import TENSOR
from llava_jax.models.compute import CONTEXT

LANES = 128  # of a TPU's vector unit: what a block of positions must be a multiple of
_BLOCKS = (512, 256, 128)  # positions of a block, the best first


def splash_attention(
    q: Float[Array, "batch seq heads head_dim"],
    k: Float[Array, "batch seq kv_heads head_dim"],
    v: Float[Array, "batch seq kv_heads head_dim"],
    segments: Int[Array, "batch seq"],
    *,
    interpret: bool = False,
) -> Float[Array, "batch seq heads head_dim"]:
    """Softmax attention to earlier tokens of the same segment, and to itself.

    q: scaled by head_dim**-0.5.
    interpret: runs the kernel's program step by step on any machine, for tests.
    Raises:
      UserError: the length is no multiple of 128.
    """
    length = q.shape[1]
    if length % LANES:
        raise UserError(
            f"a TPU's attention kernel takes rows whose length is a multiple of {LANES}, not "
            f"{length}: change the stage's length"
        )
    q, k, v = (x.swapaxes(1, 2) for x in (q, k, v))
    out = _by_heads(partial(_kernel, interpret), q, k, v, segments)
    return out.swapaxes(1, 2)


def _by_heads(attend: partial, q: Array, k: Array, v: Array, segments: Array) -> Array:
    """Where heads are cut over a tensor axis each device runs the kernel on its own: the compiler
    cannot cut a kernel.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or dict(zip(mesh.axis_names, mesh.axis_types, strict=True)).get(
        TENSOR, AxisType.Manual
    ) == AxisType.Manual:  # fmt: skip
        return attend(q, k, v, segments)
    heads = PartitionSpec(None, TENSOR)
    return jax.shard_map(
        attend,
        in_specs=(heads, heads, heads, PartitionSpec()),
        out_specs=heads,
        axis_names={TENSOR},
        check_vma=False,
    )(q, k, v, segments)


def _kernel(interpret: bool, q: Array, k: Array, v: Array, segments: Array) -> Array:
    _, heads, length, _ = q.shape
    block = next(size for size in _BLOCKS if length % size == 0)
    kernel = kernels.make_splash_mha(
        masks.MultiHeadMask([masks.CausalMask((length, length))] * heads),
        head_shards=1,
        q_seq_shards=1,
        block_sizes=kernels.BlockSizes(
            block_q=block,
            block_kv=block,
            block_kv_compute=block,
            block_q_dkv=block,
            block_kv_dkv=block,
            block_kv_dkv_compute=block,
            # One backward kernel for all three gradients: scores are made again once, not twice.
            use_fused_bwd_kernel=True,
        ),
        residual_checkpoint_name=CONTEXT,
        interpret=interpret,
    )

    def one(q: Array, k: Array, v: Array, segments: Array) -> Array:
        return kernel(q, k, v, segment_ids=kernels.SegmentIds(segments, segments))

    return jax.vmap(one)(q, k, v, segments)
