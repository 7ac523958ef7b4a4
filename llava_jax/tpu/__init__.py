"""Training and inference steps compiled for TPUs that nobody has rented yet, and what they tell."""
