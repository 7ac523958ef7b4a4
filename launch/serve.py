"""Serves a model to OpenAI's clients, on this machine alone unless --host says otherwise.

  python launch/serve.py --checkpoint=DIR --port=8000 [--web]
Then, from any client: base_url="http://127.0.0.1:8000/v1", model=the folder's name (or --name).
With --web, a page to chat with it: http://127.0.0.1:8000/chat
SIGTERM and Ctrl-C finish what has been accepted, then end it; a second Ctrl-C ends it at once.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from llava_jax import launching
from llava_jax.errors import UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from llava_jax.inference.engine import Engine
    from llava_jax.inference.scheduler import Scheduler
    from llava_jax.serving.media import Media
    from llava_jax.serving.service import Service

_KEY_VARIABLE = "LLAVA_JAX_API_KEY"
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A training run, or any checkpoint that convert.py reads.", required=True
)
_TEMPLATE = flags.DEFINE_string("template", "", "Conversation template instead of its own.")
_NAME = flags.DEFINE_string("name", "", "What clients call the model; else the checkpoint's name.")
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen at; 0.0.0.0: all.")
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen at; 0: any free one.", 0, 65535)
_API_KEY = flags.DEFINE_string(
    "api_key", None, f"What clients must show; else ${_KEY_VARIABLE}, if it is set."
)
_SLOTS = flags.DEFINE_integer("slots", 8, "Answers that grow at a time.", 2)
_MAX_QUEUE = flags.DEFINE_integer("max_queue", 64, "Requests that wait; more are told 429.", 0)
_ALLOW_REMOTE_IMAGES = flags.DEFINE_bool(
    "allow_remote_images", False, "Fetch images from the public addresses that clients name."
)
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that share each product.")
_INT8 = flags.DEFINE_bool("int8", False, "Weights in 8 bits: faster, and nearly the same answers.")
_WEB = flags.DEFINE_bool("web", False, "A page to chat with the model, at /chat.")
_VOTES = flags.DEFINE_string("votes", "votes.jsonl", "File that the page's votes are added to.")
_IMAGE_DIR = flags.DEFINE_string("image_dir", "", "Folder whose images file: addresses may name.")


def main() -> None:
    # Imported here, after the environment is set: jax reads it when it is imported.
    from llava_jax.inference.opening import open_engine
    from llava_jax.serving.api import create_app
    from llava_jax.serving.server import bind, serve, url_of
    from llava_jax.serving.service import Service

    media, add_page = _media(), _page()
    bound = bind(_HOST.value, _PORT.value)
    engine = open_engine(_CHECKPOINT.value, _TEMPLATE.value, tensor=_TENSOR.value, int8=_INT8.value)
    scheduler = _warmed_up(engine)
    name = _NAME.value or Path(_CHECKPOINT.value).expanduser().resolve().name
    service = Service(engine, scheduler, media, name, _SLOTS.value + _MAX_QUEUE.value)
    api_key = os.environ.get(_KEY_VARIABLE, "") if _API_KEY.value is None else _API_KEY.value
    url = url_of(bound)
    app = create_app(service, api_key)
    if add_page is not None:
        add_page(app, service)
    serve(app, service, bound, lambda: print(f"serving {name} at {url}/v1", flush=True))
    service.close()


def _page() -> Callable[["FastAPI", "Service"], None] | None:
    """What adds the page to an application, if it is asked for."""
    if not _WEB.value:
        return None
    from llava_jax.serving import web
    from llava_jax.serving.votes import Votes

    return partial(web.mount, votes=Votes(Path(_VOTES.value).expanduser()))


def _media() -> "Media":
    from llava_jax.serving.media import Media
    from llava_jax.serving.remote_images import RemoteImages

    folder = Path(_IMAGE_DIR.value).expanduser() if _IMAGE_DIR.value else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"--image_dir={_IMAGE_DIR.value} is no folder: name one that is there")
    return Media(folder, RemoteImages() if _ALLOW_REMOTE_IMAGES.value else None)


def _warmed_up(engine: "Engine") -> "Scheduler":
    """All programs compiled, so that no request waits for one."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from llava_jax.inference.scheduler import Shapes

    scheduler = engine.scheduler(Shapes(slots=_SLOTS.value))
    with Progress(console=Console(stderr=True)) as progress:
        for what, warm_up in (("language", scheduler.warm_up), ("vision", engine.warm_up)):
            task = progress.add_task(f"compiling {what}")

            def show(done: int, of: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=of)

            warm_up(show)
    return scheduler


if __name__ == "__main__":
    launching.run(main)
