"""Training: the step, its loss and optimizer, and the loop over the stages of a recipe."""
