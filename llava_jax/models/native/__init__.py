"""Our own kernels for a CPU, where XLA's are many times slower than the memory they read.

They want an x86 processor with AVX-512 VNNI and a C++ compiler, and are compiled when they are
first asked for (two seconds; kept in the cache folder). Without them XLA computes the same.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from llava_jax.config import cache_folder
from llava_jax.errors import UserError

_FOLDER = Path(__file__).parent
_SOURCES = [_FOLDER / name for name in ("int8_product.cc", "attention.cc")]
_NEEDED = ("avx512f", "avx512bw", "avx512_vnni")
_FLAGS = ("-std=c++17", "-O3", "-w", "-shared", "-fPIC", "-mavx512f", "-mavx512bw", "-mavx512vnni")
_PRODUCT, _ATTENTION = "llava_jax_int8_product", "llava_jax_attention"


@cache
def available() -> bool:
    """Whether this machine can run them; compiles them where that is still to be done.

    A machine that could, but for a compiler that works, is told so once on stderr.
    """
    if not _processor_can():
        return False
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        print("no C++ compiler found: answers will be slower", file=sys.stderr)
        return False
    try:
        library = ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(f"{compiler} failed ({said[-200:]}): answers will be slower",
              file=sys.stderr)  # fmt: skip
        return False
    for target, function in ((_PRODUCT, library.kInt8Product), (_ATTENTION, library.kAttention)):
        jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(function), platform="cpu")
    return True


def int8_product(
    x: Float[Array, "m k"],
    packed: UInt8[Array, "blocks quarters 16 4"],
    scale: Float[Array, " n"],
    dtype: Any,
) -> Float[Array, "m n"]:
    """x, rounded to 8 bits, times weights in the order of `int8.pack`.

    dtype: of the result, float32 or bfloat16.
    Raises:
      UserError: this machine does not have it.
    """
    shape = jax.ShapeDtypeStruct((x.shape[0], scale.shape[0]), dtype)
    return _function(_PRODUCT, shape)(x, packed, scale)


def attends(head_dim: int, length: int) -> bool:
    """Whether `attention` is built for heads of this width and caches of this length."""
    return head_dim in (64, 128) and length % 16 == 0


def attention(
    q: Float[Array, "batch kv_heads group head_dim"],
    k: Float[Array, "batch kv_heads 1 head_dim"],
    v: Float[Array, "batch kv_heads 1 head_dim"],
    cached: Mapping[str, Array],
    layer: int,
    start: Int32[Array, " batch"],
) -> Float[Array, "batch kv_heads group head_dim"]:
    """One new token's attention to its row's first `start` cached ones and to itself.

    q: scaled by head_dim**-0.5.
    cached: of all layers, as in `cache.py`.
    Raises:
      UserError: this machine does not have it.
    """
    nothing = jnp.zeros(0)
    scales = [cached.get(name, nothing) for name in ("k_scale", "v_scale")]
    shape = jax.ShapeDtypeStruct(q.shape, q.dtype)
    call = _function(_ATTENTION, shape)
    return call(q, k, v, cached["k"], cached["v"], *scales, start, layer=np.int64(layer))


def _function(target: str, result: jax.ShapeDtypeStruct) -> Callable[..., Array]:
    if not available():
        raise UserError("this machine cannot run the C++ kernels: leave Compute.native off")
    return jax.ffi.ffi_call(target, result)


def _processor_can() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return all(flag in flags for flag in _NEEDED)


def _compiled(compiler: str) -> Path:
    """The library, by what went into it; it appears under its name only when complete."""
    texts = [file.read_text() for file in sorted(_FOLDER.glob("*.[ch]*"))]
    parts = [*texts, compiler, *_FLAGS, jax.__version__]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    folder = cache_folder() / "native"
    library = folder / f"{name}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / library.name
            include = f"-I{jax.ffi.include_dir()}"
            command = [compiler, *_FLAGS, include, *map(str, _SOURCES), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(made, library)
    return library
