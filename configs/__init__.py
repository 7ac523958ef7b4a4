"""Recipes: one training run a file."""
