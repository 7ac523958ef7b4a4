"""Prompts and images in, answers out."""
