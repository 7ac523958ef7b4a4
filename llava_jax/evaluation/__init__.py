"""How well a model sees: questions with exact truth, scores with their uncertainty, pictures."""
