"""Weights in: other projects' checkpoints read into this one's parameters."""
