"""Published figures, to set beside one's own: in percent, MME in points."""

from collections.abc import Mapping

# What a benchmark calls the figure; "" is its overall one.
Figures = Mapping[str, float]

# benchmark -> model -> figures
PUBLISHED: Mapping[str, Mapping[str, Figures]] = {
    "pope": {"LLaVA-1.5-7B": {"": 85.9}, "LLaVA-1.5-13B": {"": 85.9}},
}
