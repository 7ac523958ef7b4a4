"""The networks: vision tower, projector, language model, and the LLaVA made of them."""
