"""What a compiled program does, read off its text: products, kernels, traffic, collectives."""
