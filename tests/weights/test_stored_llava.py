"""Leaves go straight onto their shards; the vocabulary is padded and cut."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from llava_jax.weights.opening import open_checkpoint
from llava_jax.weights.stored_llava import EMBEDDING, HEAD, cut_vocabulary, pad_vocabulary
from tests.conftest import REPOSITORY
from tests.weights import tiny

# Eight devices have to be asked for before jax starts.
SHARDED = """
import sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from llava_jax.partition import flatten
from llava_jax.weights.opening import open_checkpoint
from llava_jax.weights.stored_llava import load

mesh = Mesh(np.array(jax.devices()).reshape(2, 4), ("data", "fsdp"))

def placement(path, shape):
    axes = [None] * len(shape)
    divisible = [i for i, n in enumerate(shape) if n % 4 == 0]
    if divisible:
        axes[divisible[-1]] = "fsdp"
    return NamedSharding(mesh, PartitionSpec(*axes))

llava = open_checkpoint(sys.argv[1])
for scan in (False, True):
    whole = flatten(load(llava, scan_layers=scan))
    leaves = flatten(load(llava, scan_layers=scan, placement=placement))
    assert whole.keys() == leaves.keys()
    split = 0
    for path, leaf in leaves.items():
        assert len(leaf.addressable_shards) == 8
        for shard in leaf.addressable_shards:
            np.testing.assert_array_equal(shard.data, whole[path][shard.index], err_msg=path)
        split += leaf.addressable_shards[0].data.size < leaf.size
    assert split > 20, split
print("equal")
"""


def test_each_device_reads_its_shard(tmp_path: Path):
    folder = tiny.save(tiny.llava(), tmp_path / "llava")
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(REPOSITORY),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHARDED, str(folder)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "equal\n", done.stderr[-3000:]


def test_new_rows_are_the_mean_of_the_old_and_can_be_cut_again(tmp_path: Path):
    llava = open_checkpoint(str(tiny.save(tiny.llava(), tmp_path / "llava")))
    padded = pad_vocabulary(llava, 128)
    assert padded.config.language.vocab_size == 128
    rows, head = padded.tensors[EMBEDDING].read(), padded.tensors[HEAD].read()
    assert rows.shape == padded.tensors[EMBEDDING].shape == (128, 32)
    assert head.shape == padded.tensors[HEAD].shape == (32, 128)
    np.testing.assert_allclose(rows[96:], np.tile(rows[:96].mean(0), (32, 1)), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        head[:, 96:], np.tile(head[:, :96].mean(1), (32, 1)).T, rtol=1e-4, atol=1e-7
    )
    again = cut_vocabulary(padded, 96)
    for path in (EMBEDDING, HEAD):
        np.testing.assert_array_equal(again.tensors[path].read(), llava.tensors[path].read())
    assert again.config == llava.config
