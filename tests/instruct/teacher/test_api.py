"""A teacher behind an API, which is a function here: what it is asked and what becomes of it."""

from collections.abc import Iterable, Iterator

import pytest

from llava_jax.instruct.teacher.api import ApiTeacher, Tag
from llava_jax.instruct.teacher.prompts import messages, prompt_hash
from llava_jax.instruct.turns import Request, Response, Teacher, Turn, Usage
from llava_jax.remote.answer import Answer
from llava_jax.remote.prompt import Prompt, Sampling
from tests.instruct.drawn import scene_of

BLOCK = "Question:\nWhat is it?\n===\nAnswer:\nA dog.\n==="


class Scripted:
    """Gives each prompt the next answer, the last prompt first; keeps what it was asked."""

    def __init__(self, *answers: Answer):
        self.answers = answers
        self.prompts: list[Prompt] = []

    def __call__(self, questions: Iterable[tuple[Tag, Prompt]]) -> Iterator[tuple[Tag, Answer]]:
        asked = list(questions)
        self.prompts = [prompt for _, prompt in asked]
        pairs = [(tag, answer) for (tag, _), answer in zip(asked, self.answers, strict=True)]
        yield from reversed(pairs)


def responses(answers: list[Answer], *requests: Request) -> list[Response]:
    return list(ApiTeacher("gpt", Scripted(*answers)).respond(requests))


def test_answers_find_their_requests_in_any_order_and_number() -> None:
    scene = scene_of(("dog", 0.2, 0.2))
    one, same, other = (Request(scene, kind) for kind in ("complex", "complex", "detail"))
    ask = Scripted(Answer("a", BLOCK), Answer("a", BLOCK), Answer("b", "A dog."))
    teacher = ApiTeacher("gpt", ask, sampling=Sampling(max_tokens=9))
    assert isinstance(teacher, Teacher)
    last, *rest = teacher.respond([one, same, other])
    assert (last.request, last.turns[0].answer) == (other, "A dog.")
    assert [(r.request, r.turns) for r in rest] == [(one, (Turn("What is it?", "A dog."),))] * 2
    assert ask.prompts[0] == Prompt(messages(one), Sampling(max_tokens=9))


def test_provenance_is_filled() -> None:
    request = Request(scene_of(("dog", 0.2, 0.2)), "complex")
    answer = Answer("a", BLOCK, "stop", 70, 8, 0.5)
    (response,) = responses([answer], request)
    assert response.teacher == "gpt"
    assert response.prompt_hash == prompt_hash(messages(request))
    assert (response.usage, response.problem) == (Usage(70, 8, 0.5), "")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer("a", problem="unreachable: refused"), "unreachable: refused"),
        (Answer("a", BLOCK, "content_filter").judged(), "filtered: "),
        (Answer("a", "", "stop").judged(), "empty: "),
        (Answer("a", "A dog.", "stop").judged(), "unreadable: no question"),
        (Answer("a", BLOCK[:-5], "length").judged(), "unreadable: the text was cut off"),
    ],
)
def test_a_problem_costs_its_response_and_no_other(answer: Answer, problem: str) -> None:
    request = Request(scene_of(("dog", 0.2, 0.2)), "conversation")
    good, bad = responses([answer, Answer("b", BLOCK, "stop")], request, request)
    assert len(good.turns) == 1
    assert (bad.turns, bad.problem[: len(problem)]) == ((), problem)


def test_whole_turns_of_a_cut_off_answer_are_kept() -> None:
    request = Request(scene_of(("dog", 0.2, 0.2)), "conversation")
    answer = Answer("a", f"{BLOCK}\nQuestion:\nWhere i", "length").judged()
    (response,) = responses([answer], request)
    assert (len(response.turns), response.problem) == (1, "")
