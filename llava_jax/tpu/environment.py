"""What must stand in the environment before jax may compile for a TPU on a machine without one.

No import of jax here: launchers read this first.
"""

import atexit
import os
import shutil
import tempfile

# libtpu asks these where it runs. Any accelerator does: the topology is asked for by name later.
COMPILER_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # what computes here; also on a TPU VM, whose chips are left alone
    "JAX_ENABLE_COMPILATION_CACHE": "0",  # it cannot read back what no device of here can run
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several checks at once
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}


def own_temporary_folder() -> None:
    """Gives this process a TMPDIR of its own until it ends: libtpu leaves lock and log files."""
    folder = tempfile.mkdtemp(prefix="llava_jax_tpu_")
    os.environ["TMPDIR"] = folder
    tempfile.tempdir = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
