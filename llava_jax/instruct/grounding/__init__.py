"""Checks of what a teacher wrote against what the scene says, without any model."""
