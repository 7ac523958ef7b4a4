"""A scene as the text that a text-only teacher reads instead of the image (LLaVA, section 3)."""

from llava_jax.instruct.scene import Box, Scene


def render_box(box: Box) -> str:
    """ "[x1, y1, x2, y2]", at most three decimals."""
    corners = (box.x1, box.y1, box.x2, box.y2)
    return "[" + ", ".join(str(round(float(corner), 3)) for corner in corners) + "]"


def render_symbols(scene: Scene, boxes: bool = True) -> str:
    """Captions one a line, a blank line, then `label: [x1, y1, x2, y2]` one entity a line.

    The released prompts give the conversation type captions only: `boxes=False`.
    """
    lines = list(scene.captions)
    if boxes and scene.entities:
        lines.append("")
        lines += [f"{entity.label}: {render_box(entity.box)}" for entity in scene.entities]
    return "\n".join(lines)
