"""What of its input a run had to set aside: counted by kind, named by example; the run goes on."""

from dataclasses import dataclass, field

_NAMED = 5  # examples kept of each kind


@dataclass
class Problems:
    """Counts of what was wrong with the data, e.g. "box outside the image"."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, where: str) -> None:
        """One more of a kind; `where` lets the user find it: a file and line, an id."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < _NAMED:
            examples.append(where)

    def lines(self) -> list[str]:
        """One line a kind: how many, and where the first of them are."""
        return [
            f"{count} x {kind} ({', '.join(self.examples[kind])}{', ...' * (count > _NAMED)})"
            for kind, count in self.counts.items()
        ]
