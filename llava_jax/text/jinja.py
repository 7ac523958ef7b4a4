"""A template as the Jinja text that transformers and its like render conversations with."""

import json

from llava_jax.errors import UserError
from llava_jax.text.templates import Template

_IMAGE = "<image>"
# A message is a string, or a list of {"type": "image"} and {"type": "text", "text": ...}.
_MESSAGE = """\
{%- macro said(content) -%}
{%- if content is string -%}{{ content }}{%- else -%}
{%- for part in content if part['type'] == 'image' -%}{{ IMAGE }}{%- endfor -%}
{%- for part in content if part['type'] == 'text' -%}{{ part['text'] }}{%- endfor -%}
{%- endif -%}
{%- endmacro -%}
"""
_CONVERSATION = """\
{{- OPENING -}}
{%- set told = messages and messages[0]['role'] == 'system' -%}
{%- if told -%}{{ SYSTEM_BEFORE + said(messages[0]['content']) + SYSTEM_AFTER }}
{%- elif DEFAULT_SYSTEM -%}{{ SYSTEM_BEFORE + DEFAULT_SYSTEM + SYSTEM_AFTER }}{%- endif -%}
{%- for message in (messages[1:] if told else messages) -%}
{%- if message['role'] == 'user' -%}
{%- if loop.first -%}{{ SEPARATOR + FIRST_BEFORE + said(message['content']) + FIRST_AFTER }}
{%- else -%}{{ SEPARATOR + QUESTION_BEFORE + said(message['content']) + QUESTION_AFTER }}
{%- endif -%}
{%- else -%}{{ SEPARATOR + CUE + ANSWER_BEFORE + said(message['content']) + ANSWER_AFTER }}
{%- endif -%}
{%- endfor -%}
{{- SEPARATOR + CUE if add_generation_prompt else CLOSING -}}
"""


def chat_template(template: Template) -> str:
    """The Jinja source; images come first in their message, each with a newline.

    The beginning-of-text token is left to the tokenizer, as everywhere.

    Raises:
      UserError: a template that begins with examples.
    """
    if template.examples:
        raise UserError(f"template {template.name!r} begins with examples: choose one without")
    layout = template.layout
    before, after = template.image_wrap
    forms = {
        "SYSTEM": layout.system or "{}",
        "FIRST": layout.question if layout.first_question is None else layout.first_question,
        "QUESTION": layout.question,
        "ANSWER": layout.answer,
    }
    values = {
        "OPENING": layout.opening,
        "DEFAULT_SYSTEM": template.system,
        "SEPARATOR": layout.separator,
        "CUE": layout.cue,
        "CLOSING": layout.closing,
        "IMAGE": f"{before}{_IMAGE}{after}\n",
    }
    for name, form in forms.items():
        values[f"{name}_BEFORE"], values[f"{name}_AFTER"] = form.split("{}")
    # Jinja reads such a quoted string as JSON writes it.
    constants = "".join(
        f"{{%- set {name} = {json.dumps(value)} -%}}\n" for name, value in values.items()
    )
    return constants + _MESSAGE + _CONVERSATION.rstrip()
