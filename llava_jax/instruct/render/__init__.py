"""Scenes as the text that a text-only teacher reads instead of the image (LLaVA, section 3)."""
