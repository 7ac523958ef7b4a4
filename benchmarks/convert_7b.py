"""Conversions at the real size of LLaVA-1.5-7B: memory and time, beside a plain copy of the files.

  python benchmarks/convert_7b.py --folder=DIR --out=docs/convert_7b.json

Writes random bfloat16 weights under DIR (which needs 45 GB, and is removed at the end), reads them,
converts them with launch/convert.py, and reports the peak of the converter's own memory (anonymous
pages: what it holds beside the mapped file) and times as ratios to copying the same files.
"""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from absl import flags

from llava_jax import launching

_FOLDER = flags.DEFINE_string("folder", None, "Where to work.", required=True)
_OUT = flags.DEFINE_string("out", None, "JSON file of the figures.", required=True)
_LIMIT = 2**30  # beside twice the largest tensor
_WAYS = (("hf", "orbax"), ("hf", "original"), ("original", "hf"))
_PAUSE = 0.02  # seconds between two looks at the memory


def main() -> None:
    folder = Path(_FOLDER.value).expanduser()
    folder.mkdir(parents=True)
    try:
        largest = _make(folder / "hf")
        report = {
            "gigabytes": round(_size(folder / "hf") / 1e9, 2),
            "largest_tensor_gib": round(largest / 2**30, 3),
            "limit_gib": round((2 * largest + _LIMIT) / 2**30, 3),
            "reading": _read(folder),
            "conversions": [_convert(folder, number) for number in range(len(_WAYS))],
        }
    finally:
        shutil.rmtree(folder)
    Path(_OUT.value).write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


def _make(folder: Path) -> int:
    """A random LLaVA-1.5-7B; returns the bytes of its largest tensor."""
    import ml_dtypes
    import numpy as np

    from llava_jax.config import Model
    from llava_jax.models.sizes import llava_config
    from llava_jax.weights.hf_export import write_hf
    from llava_jax.weights.shapes import llava_shapes
    from llava_jax.weights.stored import StoredTensor
    from llava_jax.weights.stored_llava import StoredLlava, Usage, whole

    dtype = np.dtype(ml_dtypes.bfloat16)
    noise = (0.02 * np.random.default_rng(0).standard_normal(2**24, np.float32)).astype(dtype)

    def drawn(seed: int, shape: tuple[int, ...]) -> StoredTensor:
        return StoredTensor(shape, dtype, lambda: np.resize(np.roll(noise, 977 * seed), shape))

    config = llava_config(Model())
    shapes = llava_shapes(whole(config))
    tensors = {path: drawn(seed, shape) for seed, (path, shape) in enumerate(shapes.items())}
    folder.mkdir()
    usage = Usage(image_mode="crop", tower="openai/clip-vit-large-patch14-336")
    write_hf(StoredLlava(config, tensors, usage), folder)
    return max(tensor.nbytes for tensor in tensors.values())


def _read(folder: Path) -> dict[str, object]:
    """Every tensor read and looked through for NaN, between two copies of the files."""
    from llava_jax.weights.finite import finite
    from llava_jax.weights.opening import open_checkpoint

    copies = [_copy(folder / "hf", folder / "copy")]
    start = time.monotonic()
    for path, tensor in open_checkpoint(str(folder / "hf")).tensors.items():
        finite(path, tensor).read()
    seconds = time.monotonic() - start
    copies.append(_copy(folder / "hf", folder / "copy"))
    return {
        "seconds": round(seconds, 1),
        "ratio_to_copy": [round(seconds / copy, 2) for copy in copies],
    }


def _convert(folder: Path, number: int) -> dict[str, object]:
    """One of the ways; what no later one begins with is removed."""
    source, target = _WAYS[number]
    figures = _measure(folder, source, target)
    needed = {name for name, _ in _WAYS[number + 1 :]}
    for name in {source, target} - needed:
        shutil.rmtree(folder / name)
    return figures


def _measure(folder: Path, source: str, target: str) -> dict[str, object]:
    """A conversion between two copies of its source."""
    copies = [_copy(folder / source, folder / "copy")]
    command = [
        sys.executable, "launch/convert.py", f"--source={folder / source}",
        f"--target={folder / target}", f"--format={target}",
    ]  # fmt: skip
    start = time.monotonic()
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _anonymous(process.pid))
        time.sleep(_PAUSE)
    seconds = time.monotonic() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    copies.append(_copy(folder / source, folder / "copy"))
    return {
        "source": source,
        "target": target,
        "peak_gib": round(peak / 2**30, 3),
        "seconds": round(seconds, 1),
        "ratio_to_copy": [round(seconds / copy, 2) for copy in copies],
    }


def _anonymous(pid: int) -> int:
    """Bytes of a process that are no part of a mapped file."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _copy(source: Path, target: Path) -> float:
    """Seconds that a copy takes."""
    start = time.monotonic()
    shutil.copytree(source, target)
    seconds = time.monotonic() - start
    shutil.rmtree(target)
    return seconds


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    launching.run(main)
