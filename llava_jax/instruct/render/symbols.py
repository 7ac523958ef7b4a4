"""Any scene as text, by its modality."""

from collections.abc import Callable, Mapping

from llava_jax.errors import UserError
from llava_jax.instruct.render import embodied, image, space, video
from llava_jax.instruct.render.rendering import Rendered
from llava_jax.instruct.scene import Modality, Scene

_RENDERERS: Mapping[Modality, Callable[[Scene, int | None], Rendered]] = {
    "image": image.render_symbols,
    "video": video.render_symbols,
    "space": space.render_symbols,
    "embodied": embodied.render_symbols,
}


def render(scene: Scene, budget: int | None = None) -> Rendered:
    """All that is known of the scene, in at most `budget` estimated tokens."""
    return _RENDERERS[scene.modality](scene, budget)


def render_as_paper(scene: Scene, response: str, budget: int | None = None) -> Rendered:
    """What the paper's teacher read: captions, and boxes except for conversations.

    Raises UserError for a scene that is no image: the paper has no other.
    """
    if scene.modality != "image":
        raise UserError(
            f"scene {scene.id} is of the modality {scene.modality}, and the paper's inputs exist "
            "for images only: leave the faithful mode off"
        )
    return image.render_paper(scene, budget, boxes=response != "conversation")
