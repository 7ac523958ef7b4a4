"""Ablations: a recipe trained and evaluated many times, with one thing or several varied."""
