"""LLaVA (Visual Instruction Tuning) for JAX: models, two-stage training, data, evaluation, chat."""
