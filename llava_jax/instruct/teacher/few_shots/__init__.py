"""Invented scenes, and how a good teacher answers them: the examples of every prompt."""
