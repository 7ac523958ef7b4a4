"""Conversation templates: the protocol text around the messages, kept as data.

A template says which text stands before and after each message and which of it is learned;
`render` turns a conversation into spans of text. The loss mask follows from the spans, so it never
depends on counting tokens. The strings are those that the released checkpoints were trained with
(github.com/haotian-liu/LLaVA, `conversation.py` and `train.py`, Apache-2.0; the ChatML texts are
those of the models' own chat templates).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from llava_jax.errors import UserError

IMAGE: Literal[-200] = -200  # stands for an image among parts of a message and among token ids
USER, ASSISTANT = "user", "assistant"

Part = str | int  # a piece of text, or IMAGE
Content = str | Sequence[Part]  # a message; a bare string holds no image, whatever it says
Turn = tuple[str, Content | None]  # role and message; None = the answer still to be written


class Span(NamedTuple):
    """A stretch of a rendered conversation.

    part: text, or IMAGE. learned: whether its tokens are targets of the loss. protocol: whether the
    template wrote it; only then do strings like "</s>" in it stand for special tokens.
    """

    part: Part
    learned: bool
    protocol: bool


@dataclass(frozen=True)
class Layout:
    """The text around the messages; `{}` is the message's place.

    A conversation is `opening`, `system` (left out when the system prompt is empty), then for each
    turn `separator` and either `question` or `cue` + `answer`, and at last `closing`.
    A generation prompt ends after `cue`. Learned: `answer`, `separator`, `closing`, and `cue` when
    `learns_cue`.
    """

    question: str
    cue: str
    answer: str
    system: str = ""
    opening: str = ""
    first_question: str | None = None  # where the first one differs from `question`
    separator: str = ""
    closing: str = ""
    learns_cue: bool = False


@dataclass(frozen=True)
class Template:
    """A conversation format.

    system: the default system prompt. layout: the text around messages in training. chat: the same
    for prompts of the original's inference code, where that differs from its training.
    image_wrap: text before and after each image; LLaVA-1.0 with start and end tokens is
    `replace(template, image_wrap=("<im_start>", "<im_end>"))`. examples: turns that always stand
    first. free_order: roles may come in any order. caption_only: alignment on image-caption pairs;
    of the question only its images remain. images_first: images move to the front of their message,
    each with a newline. image_is_token: `<image>` is one token of a single text (as in Hugging Face
    processors) instead of a border between texts tokenised on their own.
    """

    name: str
    system: str
    layout: Layout
    chat: Layout | None = None
    image_wrap: tuple[str, str] = ("", "")
    examples: tuple[tuple[str, str], ...] = ()
    free_order: bool = False
    caption_only: bool = False
    images_first: bool = False
    image_is_token: bool = False


def render(
    template: Template, turns: Sequence[Turn], *, system: str | None = None, chat: bool = False
) -> list[Span]:
    """Spans of a conversation; a last answer of None ends it after the cue.

    turns: (USER or ASSISTANT, message). system: replaces the template's system prompt; "" leaves it
    out. chat: the layout of the original's inference instead of its training.
    """
    layout = template.chat if chat and template.chat else template.layout
    system = template.system if system is None else system
    spans = [Span(layout.opening, False, True)]
    if system:
        spans += _fill(layout.system, [Span(system, False, False)], False)
    for number, (role, content) in enumerate([*template.examples, *turns]):
        learned = number >= len(template.examples)
        spans.append(Span(layout.separator, learned, True))
        if role == USER:
            form = layout.question
            if number == 0 and layout.first_question is not None:
                form = layout.first_question
            spans += _fill(form, _message(template, content or "", False, chat), False)
            continue
        spans.append(Span(layout.cue, learned and layout.learns_cue, True))
        if content is None:
            return _nonempty(spans)
        spans += _fill(layout.answer, _message(template, content, learned, chat), learned)
    spans.append(Span(layout.closing, True, True))
    return _nonempty(spans)


def _nonempty(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span.part != ""]


def _fill(form: str, message: list[Span], learned: bool) -> list[Span]:
    before, after = form.split("{}")
    return [Span(before, learned, True), *message, Span(after, learned, True)]


def _message(template: Template, content: Content, learned: bool, chat: bool) -> list[Span]:
    parts: list[Part] = [content] if isinstance(content, str) else list(content)
    if template.caption_only and not learned and not chat:
        parts = [part for part in parts if part == IMAGE]
    if template.images_first:
        parts = _with_images_first(parts)
    before, after = template.image_wrap
    spans = []
    for part in parts:
        if part == IMAGE:
            spans += [Span(piece, learned, True) for piece in (before, IMAGE, after)]
        else:
            spans.append(Span(part, learned, False))
    return spans


def _with_images_first(parts: Sequence[Part]) -> list[Part]:
    """Images in front, each with one newline, which replaces the one that followed it."""
    texts = [
        part.removeprefix("\n") if before == IMAGE else part
        for before, part in zip(["", *parts], parts, strict=False)
        if isinstance(part, str)
    ]
    images: list[Part] = [IMAGE, "\n"] * (len(parts) - len(texts))
    return [*images, *texts]


def parse_markers(text: str) -> list[Part]:
    """A data set's message as parts: each "<image>" in it becomes IMAGE."""
    parts = re.split("(<image>)", text)
    return [IMAGE if part == "<image>" else part for part in parts if part]


def with_images(text: str, count: int) -> list[Part]:
    """A message with `count` images in front, each followed by a newline, as LLaVA asks."""
    images: list[Part] = [IMAGE, "\n"] * count
    return [*images, text]


def get_template(name: str) -> Template:
    """The template of that name or alias; UserError names those that exist."""
    if name not in TEMPLATES:
        raise UserError(f"No template is called {name!r}; choose one of {', '.join(TEMPLATES)}.")
    return TEMPLATES[name]


_ABOUT = (
    "A chat between a curious {0} and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the {0}'s questions."
)
_TAGGED = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant is able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
    "The visual content will be provided with the following format: <Image>visual content</Image>."
)
_LLAMA_2_SYSTEM = (
    "You are a helpful, respectful and honest assistant. Always answer as helpfully as possible, "
    "while being safe.  Your answers should not include any harmful, unethical, racist, sexist, "
    "toxic, dangerous, or illegal content. Please ensure that your responses are socially unbiased "
    "and positive in nature.\n\nIf a question does not make any sense, or is not factually "
    "coherent, explain why instead of answering something not correct. If you don't know the "
    "answer to a question, please don't share false information."
)
_LLAVA_LLAMA_2_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language."
)
_MPT_SYSTEM = (
    "A conversation between a user and an LLM-based AI assistant. "
    "The assistant gives helpful and honest answers."
)
_SMOLLM2_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
_V0_EXAMPLE = (
    (USER, "What are the key differences between renewable and non-renewable energy sources?"),
    (
        ASSISTANT,
        "Renewable energy sources are those that can be replenished naturally in a relatively "
        "short amount of time, such as solar, wind, hydro, geothermal, and biomass. Non-renewable "
        "energy sources, on the other hand, are finite and will eventually be depleted, such as "
        "coal, oil, and natural gas. Here are some key differences between renewable and "
        "non-renewable energy sources:\n"
        "1. Availability: Renewable energy sources are virtually inexhaustible, while "
        "non-renewable energy sources are finite and will eventually run out.\n"
        "2. Environmental impact: Renewable energy sources have a much lower environmental impact "
        "than non-renewable sources, which can lead to air and water pollution, greenhouse gas "
        "emissions, and other negative effects.\n"
        "3. Cost: Renewable energy sources can be more expensive to initially set up, but they "
        "typically have lower operational costs than non-renewable sources.\n"
        "4. Reliability: Renewable energy sources are often more reliable and can be used in more "
        "remote locations than non-renewable sources.\n"
        "5. Flexibility: Renewable energy sources are often more flexible and can be adapted to "
        "different situations and needs, while non-renewable sources are more rigid and "
        "inflexible.\n"
        "6. Sustainability: Renewable energy sources are more sustainable over the long term, "
        "while non-renewable sources are not, and their depletion can lead to economic and social "
        "instability.\n",
    ),
)

_VICUNA = Layout(system="{} ", question="USER: {} ", cue="ASSISTANT:", answer=" {}</s>")
# Version 0 was trained with newlines that its inference never writes, and on its separators and
# "Assistant:" as well: from the next "###" it learned to stop.
_V0 = Layout(
    system="{}\n\n",
    separator="###",
    question=" Human: {}\n",
    cue=" Assistant:",
    answer=" {}\n",
    closing="### ",
    learns_cue=True,
)
_V0_CHAT = Layout(system="{}###", question="Human: {}###", cue="Assistant:", answer=" {}###")
_PLAIN = Layout(question="{}", cue="", answer="{}\n")
_LLAMA_2 = Layout(
    opening="[INST] ",
    system="<<SYS>>\n{}\n<</SYS>>\n\n",
    first_question="{} [/INST]",
    question="<s>[INST] {} [/INST]",
    cue="",
    answer=" {} </s>",
)
_MPT = Layout(
    system="<|im_start|>system\n{}<|im_end|>",
    question="<|im_start|>user\n{}<|im_end|>",
    cue="<|im_start|>assistant\n",
    answer="{}<|im_end|>",
)
# The newline after an answer's <|im_end|> is nothing to learn: it opens the next question.
_CHATML = Layout(
    system="<|im_start|>system\n{}<|im_end|>\n",
    first_question="<|im_start|>user\n{}<|im_end|>\n",
    question="\n<|im_start|>user\n{}<|im_end|>\n",
    cue="<|im_start|>assistant\n",
    answer="{}<|im_end|>",
)

_vicuna_v1 = Template("vicuna_v1", _ABOUT.format("user"), _VICUNA)
_llava_v0 = Template("llava_v0", _ABOUT.format("human"), _V0, _V0_CHAT, free_order=True)
_vicuna_v0 = replace(_llava_v0, name="v0", examples=_V0_EXAMPLE)
_plain = Template("plain", "", _PLAIN, replace(_PLAIN, question="{}\n"), caption_only=True)
_llama_2 = Template("llama_2", _LLAMA_2_SYSTEM, _LLAMA_2)
_mpt = Template("mpt", _MPT_SYSTEM, _MPT)
_chatml_direct = replace(_mpt, name="chatml_direct", system="Answer the questions.")
_chatml = Template("chatml", "You are a helpful assistant.", _CHATML)
_tags = ("<Image>", "</Image>")

TEMPLATES: dict[str, Template] = {
    "vicuna_v1": _vicuna_v1,
    "v1": _vicuna_v1,
    "llava_v1": replace(_vicuna_v1, name="llava_v1", system=_ABOUT.format("human")),
    "v1_mmtag": replace(_vicuna_v1, name="v1_mmtag", system=_TAGGED, image_wrap=_tags),
    "hf_llava_1_5": Template(
        "hf_llava_1_5",
        "",
        replace(_VICUNA, answer=" {} "),
        images_first=True,
        image_is_token=True,
    ),
    "llava_v0": _llava_v0,
    "v0_mmtag": replace(_llava_v0, name="v0_mmtag", system=_TAGGED, image_wrap=_tags),
    "v0": _vicuna_v0,
    "default": _vicuna_v0,
    "plain": _plain,
    "v0_plain": _plain,
    "llama_2": _llama_2,
    "llava_llama_2": replace(_llama_2, name="llava_llama_2", system=_LLAVA_LLAMA_2_SYSTEM),
    "mistral_instruct": Template(
        "mistral_instruct", "", replace(_LLAMA_2, question="[INST] {} [/INST]")
    ),
    "mpt": _mpt,
    "chatml_direct": _chatml_direct,
    "mistral_direct": _chatml_direct,
    "chatml": _chatml,
    "smollm2": replace(_chatml, name="smollm2", system=_SMOLLM2_SYSTEM),
}
