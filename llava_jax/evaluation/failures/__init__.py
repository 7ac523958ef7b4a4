"""Where models of this kind fail: binding, places, counts, negation, things that are absent."""
