"""Floating point operations of Pallas kernels, which a compiled program shows as closed calls.

The project has one: splash attention (jax.experimental.pallas.ops.tpu.splash_attention), whose
kernels are known by their names. With a causal mask they compute the blocks on and below the
diagonal, whole ones.
"""

import math
import re

from llava_jax.tpu.counting.hlo import Computation, Instruction

TARGET = "tpu_custom_call"
# products of a block: scores and context; then the scores again with their gradients
_PRODUCTS = (("splash_mha_dkv", 4), ("splash_mha_dq", 3), ("splash_mha_fwd", 2))
_FUSED_BACKWARD = 5  # scores, dv, dp, dk and dq in one pass


def kernel_flops(computation: Computation, instruction: Instruction) -> int | None:
    """Operations of one run: 0 for what is no kernel, None for a kernel that is not known."""
    if TARGET not in instruction.attributes:
        return 0
    products = next((n for name, n in _PRODUCTS if instruction.name.startswith(name)), None)
    if products is None:
        return None
    tensors = [
        shape
        for operand in computation.operands(instruction)
        for shape in operand.shapes
        if shape.dtype in ("bf16", "f32") and len(shape.dims) >= 3 and shape.dims[-1] > 8
    ]
    *batch, heads, queries, size = tensors[0].dims
    keys = tensors[1].dims[-2]
    gradients = sum(shape.elements >= tensors[1].elements for shape in instruction.shapes)
    if products == 4 and gradients > 2:  # the fused backward has dkv's name, and dq besides
        products = _FUSED_BACKWARD
    blocks = _blocks(computation, instruction)
    share = _computed_share(blocks)
    return int(2 * products * math.prod(batch) * heads * queries * keys * size * share)


def _blocks(computation: Computation, instruction: Instruction) -> tuple[int, int]:
    """How many blocks of queries and keys there are, from the shape of the kernel's block mask."""
    masks = [o.shape for o in computation.operands(instruction) if o.shape.dtype == "s8"]
    return masks[-1].dims[-2], masks[-1].dims[-1]


def _computed_share(blocks: tuple[int, int]) -> float:
    """Share of the blocks on and below the diagonal of a causal mask."""
    queries, keys = blocks
    reach = [math.ceil((row + 1) * keys / queries) for row in range(queries)]
    return sum(min(n, keys) for n in reach) / (queries * keys)


def kernel_name(instruction: Instruction) -> str:
    """A kernel's name without its number."""
    return re.sub(r"\.\d+$", "", instruction.name)
