"""The work of splash attention's kernels, counted from a compiled program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
)
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llava_jax.tpu.counting.program import count_program
from llava_jax.tpu.topology import parse_topology

BATCH, HEADS, LENGTH, SIZE, BLOCK = 2, 4, 1024, 128, 256


@pytest.mark.parametrize(("fused", "backward"), [(False, 7), (True, 5)])
def test_forward_and_backward_of_causal_attention(tpu_compiler: None, fused: bool, backward: int):
    sizes = splash.BlockSizes(
        block_q=BLOCK,
        block_kv=BLOCK,
        block_kv_compute=BLOCK,
        block_q_dkv=BLOCK,
        block_kv_dkv=BLOCK,
        block_kv_dkv_compute=BLOCK,
        block_q_dq=None if fused else BLOCK,
        block_kv_dq=None if fused else BLOCK,
        use_fused_bwd_kernel=fused,
    )
    mask = masks.MultiHeadMask([masks.CausalMask((LENGTH, LENGTH))] * HEADS)
    attend = splash.make_splash_mha(mask, head_shards=1, q_seq_shards=1, block_sizes=sizes)

    def loss(q, k, v, segments):
        ids = splash.SegmentIds(segments, segments)
        out = jax.vmap(attend)(q, k, v, segment_ids=jax.tree.map(lambda x: x, ids))
        return jnp.sum(out.astype(jnp.float32))

    mesh = Mesh(np.array(parse_topology("v5e-1").devices()), ("x",))
    whole = NamedSharding(mesh, PartitionSpec())
    heads = jax.ShapeDtypeStruct((BATCH, HEADS, LENGTH, SIZE), jnp.bfloat16, sharding=whole)
    segments = jax.ShapeDtypeStruct((BATCH, LENGTH), jnp.int32, sharding=whole)
    step = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))
    program = count_program(step.lower(heads, heads, heads, segments).compile().as_text())
    blocks = LENGTH // BLOCK
    computed = blocks * (blocks + 1) // 2 * BLOCK**2  # on and below the diagonal
    assert program.kernel_flops == (2 + backward) * 2 * BATCH * HEADS * computed * SIZE
    assert program.unknown_kernels == ()
