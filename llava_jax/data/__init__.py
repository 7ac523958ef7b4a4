"""From records on disk to the static batches that a training step takes."""
