"""The public benchmarks: each one's files, prompts, reading of answers, and figures."""
