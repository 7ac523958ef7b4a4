"""Lists of words, as they are written here."""


def words_of(text: str, sep: str | None = None) -> frozenset[str]:
    """The words of a list written as one text, parted by blanks or by `sep`."""
    return frozenset(" ".join(word.split()) for word in text.split(sep))
