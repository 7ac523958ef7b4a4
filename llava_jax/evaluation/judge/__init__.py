"""Answers marked by a language model: items -> prompts -> answers -> verdicts -> figures."""
