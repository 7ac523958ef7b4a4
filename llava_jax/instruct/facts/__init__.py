"""What is certain of a scene: the only truths, for teachers, checks and probes alike."""
