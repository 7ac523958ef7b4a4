"""Valid content of annotation files, with some of its values replaced by others."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def changed(content: Any, *path: str | int, to: Any) -> Any:
    """A copy with the value at the path replaced; `to` None: deleted."""
    content = deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return content


@st.composite
def corrupted(draw: st.DrawFn, content: Any) -> Any:
    """The content with up to two values deleted or replaced by any JSON."""
    for _ in range(draw(st.integers(0, 2))):
        if paths := _paths(content):
            content = changed(content, *draw(st.sampled_from(paths)), to=draw(JSON))
    return content


def _paths(content: Any, above: tuple = ()) -> list[tuple]:
    """The path of every value below the outermost one."""
    found = []
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        found.append((*above, key))
        if isinstance(value, dict | list):
            found += _paths(value, (*above, key))
    return found
