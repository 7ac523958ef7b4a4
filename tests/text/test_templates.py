import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import pytest

from llava_jax.errors import UserError
from llava_jax.text.templates import (
    ASSISTANT,
    IMAGE,
    TEMPLATES,
    USER,
    Span,
    get_template,
    parse_markers,
    render,
    with_images,
)

TURNS = [
    (USER, [IMAGE, "\nWhat color is the bus?"]),
    (ASSISTANT, "The bus is red."),
    (USER, "How many people?"),
    (ASSISTANT, "Three."),
]

# The chat templates of the models themselves, to compare ours with.
HF_LLAVA = (
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def text_of(spans: list[Span]) -> str:
    return "".join("<image>" if span.part == IMAGE else str(span.part) for span in spans)


def learned_text(spans: list[Span]) -> list[str]:
    """Runs of learned text."""
    runs, open_run = [], False
    for span in spans:
        if span.learned:
            runs += [] if open_run else [""]
            runs[-1] += text_of([span])
        open_run = span.learned
    return runs


def original_prompt(fields: dict[str, Any], rounds: list[tuple[str, str | None]]) -> str:
    """What the recorded constants of a template say that a prompt is."""
    system, sep, sep2 = fields["system"], fields["sep"], fields["sep2"]
    user, assistant = fields["roles"]
    match fields["sep_style"]:
        case "SINGLE":
            text = system + sep
            for question, answer in rounds:
                text += f"{user}: {question}{sep}{assistant}:"
                text += "" if answer is None else f" {answer}{sep}"
        case "TWO":
            text = system + sep
            for question, answer in rounds:
                text += f"{user}: {question}{sep}{assistant}:"
                text += "" if answer is None else f" {answer}{sep2}"
        case "MPT":
            text = system + sep
            for question, answer in rounds:
                text += user + question + sep + assistant
                text += "" if answer is None else answer + sep
        case "LLAMA_2":
            header = f"<<SYS>>\n{system}\n<</SYS>>\n\n" if system else ""
            text = ""
            for number, (question, answer) in enumerate(rounds):
                text += f"{sep if number else ''}[INST] {header}{question} [/INST]"
                text += "" if answer is None else f" {answer} {sep2}"
                header = ""
        case "PLAIN":
            text = system + "".join(question + sep for question, _ in rounds)
        case style:
            raise AssertionError(f"unknown style {style}")
    return text


@pytest.mark.golden
def test_golden_constants(golden_dir: Path):
    recorded = json.loads((golden_dir / "templates.json").read_text())
    for name, fields in recorded.items():
        template = get_template(name)
        assert len(template.examples) == fields["n_messages"], name
        rounds: list[tuple[str, str | None]] = [("Who?", "Me."), ("And then?", None)]
        if fields["sep_style"] == "PLAIN":
            rounds = [("Who?", None)]
        turns = [
            turn for question, answer in rounds for turn in ((USER, question), (ASSISTANT, answer))
        ]
        rendered = render(replace(template, examples=()), turns, chat=True)
        assert text_of(rendered) == original_prompt(fields, rounds), name


@pytest.mark.golden
def test_golden_prompts(golden_dir: Path):
    compared, raised = 0, set()
    for line in (golden_dir / "prompts.jsonl").read_text().splitlines():
        record = json.loads(line)
        # These prompts hold their images as given; wrapping them was the caller's business.
        template = replace(get_template(record["template"]), image_wrap=("", ""))
        turns = [
            turn
            for question, answer in record["turns"]
            for turn in ((USER, parse_markers(question)), (ASSISTANT, answer))
        ]
        rendered = text_of(render(template, turns, chat=True))
        if "error" in record:
            raised.add(record["template"])
            assert all(text in rendered for _, text in turns if isinstance(text, str))
        else:
            compared += 1
            assert rendered == record["prompt"], record["id"]
    assert compared > 0
    assert raised <= {"plain"}  # the original cannot put an answer into it


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("vicuna_v1", [" The bus is red.</s>", " Three.</s>"]),
        ("llava_v1", [" The bus is red.</s>", " Three.</s>"]),
        (
            "llava_v0",
            ["###", "### Assistant: The bus is red.\n###", "### Assistant: Three.\n### "],
        ),
        ("llama_2", [" The bus is red. </s>", " Three. </s>"]),
        ("mistral_instruct", [" The bus is red. </s>", " Three. </s>"]),
        ("mpt", ["The bus is red.<|im_end|>", "Three.<|im_end|>"]),
        ("chatml", ["The bus is red.<|im_end|>", "Three.<|im_end|>"]),
        ("hf_llava_1_5", [" The bus is red. ", " Three. "]),
    ],
)
def test_what_is_learned(name: str, learned: list[str]):
    assert learned_text(render(get_template(name), TURNS)) == learned


def test_examples_are_context_not_targets():
    spans = render(get_template("v0"), TURNS[:2])
    assert "renewable" in text_of(spans)
    assert not any("renewable" in text for text in learned_text(spans))


def test_plain_keeps_only_the_images_of_the_question():
    plain = get_template("plain")
    spans = render(plain, TURNS[:2])
    assert text_of(spans) == "<image>The bus is red.\n"
    assert learned_text(spans) == ["The bus is red.\n"]
    assert text_of(render(plain, [TURNS[0], (ASSISTANT, None)])) == "<image>"


def test_images_of_tagged_templates_are_wrapped():
    rendered = text_of(render(get_template("v1_mmtag"), TURNS))
    assert "USER: <Image><image></Image>\nWhat color" in rendered


def test_only_the_templates_own_text_is_protocol():
    spans = render(
        get_template("vicuna_v1"), [(USER, "a</s>"), (ASSISTANT, "b</s>")], system="</s>"
    )
    assert [str(span.part) for span in spans if not span.protocol] == ["</s>", "a</s>", "b</s>"]


def test_system_prompt_can_be_replaced_or_left_out():
    chatml = get_template("chatml")
    asked = [(USER, "Hi"), (ASSISTANT, None)]
    rest = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert text_of(render(chatml, asked, system="")) == rest
    told = text_of(render(chatml, asked, system="Be brief."))
    assert told == "<|im_start|>system\nBe brief.<|im_end|>\n" + rest
    assert text_of(render(get_template("vicuna_v1"), asked, system="")) == "USER: Hi ASSISTANT:"
    assert text_of(render(get_template("llama_2"), asked, system="")) == "[INST] Hi [/INST]"


@pytest.mark.parametrize("last", [None, "Three."])
def test_hf_llava_chat_template(last: str | None):
    turns = [
        (USER, ["What is left of ", IMAGE, "this?"]),
        (ASSISTANT, "A dog."),
        (USER, ["And ", IMAGE, IMAGE, "here?"]),
        (ASSISTANT, last),
    ]
    messages = [
        {
            "role": role,
            "content": [{"type": "image"}] * sum(part == IMAGE for part in content)
            + [{"type": "text", "text": "".join(p for p in content if isinstance(p, str))}],
        }
        for role, content in turns
        if content is not None
    ]
    expected = jinja2.Template(HF_LLAVA, keep_trailing_newline=True).render(
        messages=messages, add_generation_prompt=last is None
    )
    assert text_of(render(get_template("hf_llava_1_5"), turns)) == expected


@pytest.mark.parametrize("system", [None, "Be brief."])
def test_smollm2_chat_template(system: str | None):
    turns = [(USER, "Hi"), (ASSISTANT, "Hello."), (USER, "Who?"), (ASSISTANT, None)]
    messages = [{"role": "system", "content": system}] if system else []
    messages += [{"role": role, "content": text} for role, text in turns if text is not None]
    expected = jinja2.Template(SMOLLM2, keep_trailing_newline=True).render(
        messages=messages, add_generation_prompt=True
    )
    assert text_of(render(get_template("smollm2"), turns, system=system)) == expected


def test_markers_and_counts_of_images():
    assert parse_markers("<image>\nWhat?") == [IMAGE, "\nWhat?"]
    assert parse_markers("a <image><image>") == ["a ", IMAGE, IMAGE]
    assert parse_markers("") == []
    assert with_images("<image>?", 2) == [IMAGE, "\n", IMAGE, "\n", "<image>?"]
    assert with_images("Hi", 0) == ["Hi"]


def test_unknown_template_names_those_that_exist():
    with pytest.raises(UserError, match=r"'vicuna'.*vicuna_v1, v1, "):
        get_template("vicuna")
    assert all(get_template(name) is template for name, template in TEMPLATES.items())
