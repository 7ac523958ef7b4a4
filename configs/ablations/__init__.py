"""Ablations of recipes, for launch/ablate.py."""
