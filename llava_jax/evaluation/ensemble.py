"""Two models' answers to ScienceQA made one: LLaVA's ensemble with a language model (section 5.2).

A scheme takes both models' marks, question by question, and gives marks of its own; `accuracy` of
these has every category, and `sole_wins` says whether two schemes differ by more than chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llava_jax.evaluation.asking import Ask
from llava_jax.evaluation.benchmarks.benchmark import Mark, Question
from llava_jax.evaluation.benchmarks.choices import read_letter
from llava_jax.evaluation.statistics import mcnemar
from llava_jax.remote.prompt import Message, Prompt, Sampling

_RULE = """\
Two people answered a multiple-choice question differently. The question may be about an image that
you do not see; the second person saw it. Weigh both answers, think step by step, and decide. End
your reply with "The answer is X." where X is the letter of the option that you choose.

[Question]
{question}

[First answer]
{first}

[Second answer]
{second}"""


def complement(language_model: Sequence[Mark], llava: Sequence[Mark]) -> list[Mark]:
    """The language model's answer, LLaVA's where it could not be read."""
    return [first if first.read else second for first, second in _pairs(language_model, llava)]


def oracle(language_model: Sequence[Mark], llava: Sequence[Mark]) -> list[Mark]:
    """The bound of every scheme: the right one, where there is one."""
    return [max(pair, key=lambda mark: mark.right) for pair in _pairs(language_model, llava)]


def judged(
    questions: Sequence[Question],
    language_model: tuple[Sequence[Mark], Mapping[str, str]],
    llava: tuple[Sequence[Mark], Mapping[str, str]],
    ask: Ask,
) -> tuple[list[Mark], list[str]]:
    """Where the two models differ a language model decides, having read both answers.

    Each model's marks (strict mode) and its answers by question id. Returns the marks, and the ids
    of the questions whose verdict could not be read: there LLaVA's answer stands.
    """
    disputed = [
        question
        for question, (first, second) in zip(
            questions, _pairs(language_model[0], llava[0]), strict=True
        )
        if first.read != second.read
    ]
    prompts = [_prompt(q.prompt, language_model[1][q.id], llava[1][q.id]) for q in disputed]
    replies = ask(prompts) if prompts else []
    marks = {mark.question: mark for mark in llava[0]}
    unread = []
    for question, reply in zip(disputed, replies, strict=True):
        chosen = read_letter(reply.text, question.truth.options)
        if chosen:
            right = float(chosen == question.truth.answer)
            marks[question.id] = replace(marks[question.id], read=chosen, right=right)
        else:
            unread.append(question.id)
    return [marks[question.id] for question in questions], unread


def sole_wins(first: Sequence[Mark], second: Sequence[Mark]) -> tuple[int, int, float]:
    """Questions that only the first, and only the second has right; McNemar's exact p of that."""
    pairs = _pairs(first, second)
    only_first = sum(a.right > b.right for a, b in pairs)
    only_second = sum(a.right < b.right for a, b in pairs)
    return only_first, only_second, mcnemar(only_first, only_second)


def _pairs(first: Sequence[Mark], second: Sequence[Mark]) -> list[tuple[Mark, Mark]]:
    if [mark.question for mark in first] != [mark.question for mark in second]:
        raise ValueError("the two models' marks are of different questions")
    return list(zip(first, second, strict=True))


def _prompt(question: str, first: str, second: str) -> Prompt:
    words = _RULE.format(question=question, first=first.strip(), second=second.strip())
    return Prompt((Message("user", words),), Sampling(temperature=0.0))
