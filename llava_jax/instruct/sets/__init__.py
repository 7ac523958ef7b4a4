"""A set of samples as a whole: chosen, balanced, without doubles, split, documented."""
