"""Talks with a trained model about images.

One answer, alone on stdout:
  python launch/chat.py --checkpoint=DIR --image=FILE --prompt="What is in the picture?"
A conversation, typed or piped in line by line (/help lists its commands):
  python launch/chat.py --checkpoint=DIR [--image=FILE] [--image=ANOTHER]
It exits with 0; with 2 after a mistake that can be mended (at a terminal, the conversation goes on
instead); with 130 after Ctrl-C.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from llava_jax import launching
from llava_jax.errors import UserError

if TYPE_CHECKING:
    from llava_jax.inference.chat import Chat

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A training run, or any checkpoint that convert.py reads.", required=True
)
_TEMPLATE = flags.DEFINE_string("template", "", "Conversation template instead of its own.")
_IMAGE = flags.DEFINE_multi_string(
    "image", [], "Image file to talk about; several flags: several images, in that order."
)
_PROMPT = flags.DEFINE_string("prompt", None, "Answer this and exit; without it: a conversation.")
_SYSTEM = flags.DEFINE_string("system", None, "Instead of the template's system prompt.")
_TEMPERATURE = flags.DEFINE_float("temperature", 0.0, "0: always the likeliest token.")
_TOP_P = flags.DEFINE_float("top_p", 1.0, "Draw from this share of the probability.")
_TOP_K = flags.DEFINE_integer("top_k", 0, "Draw from so many likeliest tokens; 0: all.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws: the same seed gives the same answers.")
_MAX_NEW_TOKENS = flags.DEFINE_integer("max_new_tokens", 512, "Longest answer.")
_INT8 = flags.DEFINE_bool("int8", False, "Weights in 8 bits: faster, and nearly the same answers.")
_TENSOR = flags.DEFINE_integer("tensor", 1, "Devices that share each product.")

_HELP = """\
/add PATH     one image more, in front of the next question
/image PATH   talk about another image (begins anew)
/system TEXT  another system prompt (begins anew)
/reset        forget what was said
/help         this list
/exit         leave (also Ctrl-D)
Ctrl-C stops an answer; while you type, it leaves."""


def main() -> None:
    if _PROMPT.value is not None and not _PROMPT.value.strip():
        raise UserError("--prompt is empty: ask something, or leave it out for a conversation")
    chat = _load()
    if _PROMPT.value is not None:
        _print_answer(chat, _PROMPT.value)
    else:
        _converse(chat)


def _load() -> "Chat":
    # Imported here, after the environment is set: jax reads it when it is imported.
    from llava_jax.images import load_image
    from llava_jax.inference.chat import Chat
    from llava_jax.inference.opening import open_engine
    from llava_jax.inference.sampling import SamplingParams

    sampling = SamplingParams(_TEMPERATURE.value, _TOP_K.value, _TOP_P.value, _SEED.value)
    images = [load_image(Path(path).expanduser()) for path in _IMAGE.value]
    engine = open_engine(_CHECKPOINT.value, _TEMPLATE.value, tensor=_TENSOR.value, int8=_INT8.value)
    return Chat(
        engine,
        images=images,
        system=_SYSTEM.value,
        sampling=sampling,
        max_new_tokens=_MAX_NEW_TOKENS.value,
    )


def _converse(chat: "Chat") -> None:
    typed = sys.stdin.isatty() and sys.stdout.isatty()
    if typed:
        print("Ask something; /help lists the commands.", file=sys.stderr)
    for line in _lines(typed):
        try:
            if line == "/exit":
                return
            if line.startswith("/"):
                _obey(chat, line)
            elif line:
                _print_answer(chat, line)
        except UserError as error:
            if not typed:  # nobody is there to put it right
                raise
            print(f"error: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            if not typed:
                raise
            print()


def _lines(typed: bool) -> Iterator[str]:
    if not typed:
        yield from map(str.strip, sys.stdin)
        return
    import readline  # noqa: F401  (gives `input` its editing keys)

    while True:
        try:
            yield input("> ").strip()
        except EOFError:
            print()
            return


def _obey(chat: "Chat", line: str) -> None:
    from llava_jax.images import load_image

    command, _, argument = line.partition(" ")
    argument = argument.strip()
    if command in ("/add", "/image") and argument:
        image = load_image(Path(argument).expanduser())
        if command == "/add":
            chat.add(image)
        else:
            chat.show(image)
    elif command == "/system":
        chat.instruct(argument)
    elif command == "/reset":
        chat.reset()
    elif command == "/help":
        print(_HELP, file=sys.stderr)
    else:
        raise UserError(f"{line!r} is no command; /help lists them")


def _print_answer(chat: "Chat", text: str) -> None:
    for piece in chat.say(text):
        print(piece, end="", flush=True)
    print(flush=True)


if __name__ == "__main__":
    launching.run(main)
