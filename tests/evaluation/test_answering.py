"""Answers of a tiny model: the engine's own, each on disk at once, and asked only once."""

import json
from pathlib import Path

import pytest

from llava_jax.errors import UserError
from llava_jax.evaluation import answering
from llava_jax.evaluation.answer_log import AnswerLog, part_of, read_log
from llava_jax.evaluation.answering import Way, answer_questions
from llava_jax.evaluation.benchmarks.benchmark import Question
from llava_jax.evaluation.views import blind
from llava_jax.images import load_image
from llava_jax.inference.engine import Engine, ask
from tests.inference.tiny import engine as tiny_engine
from tests.inference.tiny import picture

WAY = Way("tiny", max_new_tokens=6)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return tiny_engine()


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    """Forty questions about twenty images, one without."""
    asked = []
    for number in range(40):
        image = tmp_path / "images" / f"{number // 2}.png"
        image.parent.mkdir(exist_ok=True)
        picture(number // 2).save(image)
        images = () if number == 7 else (image,)
        asked.append(Question(f"q{number}", f"What {number}?", images, "", str(number // 2)))
    return asked


def never() -> Engine:
    raise AssertionError("nothing was to be asked")


def texts(path: Path) -> dict[str, str]:
    return {id: row["text"] for id, row in read_log(path).items()}


def expected(engine: Engine, questions: list[Question]) -> dict[str, str]:
    requests = [
        ask(q.prompt, *map(load_image, q.images), max_new_tokens=WAY.max_new_tokens)
        for q in questions
    ]
    answers = engine.generate(requests)
    return {q.id: answer.text for q, answer in zip(questions, answers, strict=True)}


def test_answers_are_the_engines_and_asked_once(
    engine: Engine, questions: list[Question], tmp_path: Path
) -> None:
    path = tmp_path / "answers.jsonl"
    assert answer_questions(lambda: engine, questions, path, WAY) == {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [q.id for q in questions]
    assert rows[0].keys() == {
        *("question_id", "prompt", "text", "answer_id", "model_id", "metadata")
    }
    assert texts(path) == expected(engine, questions)
    assert [file.name for file in tmp_path.glob("answers*")] == ["answers.jsonl"]
    before = path.read_bytes()
    answer_questions(never, questions, path, WAY)
    assert path.read_bytes() == before


def test_a_torn_line_is_asked_again(
    engine: Engine, questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    answer_questions(lambda: engine, questions, path, WAY)
    lines = path.read_bytes().splitlines(keepends=True)
    path.unlink()
    part_of(path, 0).write_bytes(b"".join(lines[:9]) + lines[9][:30])
    prepared: list[int] = []
    monkeypatch.setattr(
        engine, "prepare", lambda r: prepared.append(len(r)) or Engine.prepare(engine, r)
    )
    answer_questions(lambda: engine, questions, path, WAY)
    assert sum(prepared) == 31
    assert set(lines[:9]) < set(path.read_bytes().splitlines(keepends=True))
    assert texts(path) == expected(engine, questions)


def test_what_cannot_be_asked_is_set_aside_by_name(
    engine: Engine, questions: list[Question], tmp_path: Path
) -> None:
    (tmp_path / "images" / "1.png").unlink()
    (tmp_path / "images" / "2.png").write_bytes(b"no image")
    questions[12] = Question("long", "x" * 300, (), "", "6")
    path = tmp_path / "answers.jsonl"
    aside = answer_questions(lambda: engine, questions, path, WAY)
    assert aside.keys() == {"q2", "q3", "q4", "q5", "long"}
    assert "1.png: no such file" in aside["q2"] and "at most 256" in aside["long"]
    assert len(texts(path)) == 35
    picture(1).save(tmp_path / "images" / "1.png")
    again = answer_questions(lambda: engine, questions, path, WAY)
    assert again.keys() == {"q4", "q5", "long"}


def test_processes_share_the_questions(
    engine: Engine, questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "answers.jsonl"
    monkeypatch.setattr(answering, "_meet", lambda what: None)
    monkeypatch.setattr(answering.jax, "process_count", lambda: 2)
    monkeypatch.setattr(answering, "is_first", lambda: False)
    monkeypatch.setattr(answering.jax, "process_index", lambda: 1)
    answer_questions(lambda: engine, questions[:10], path, WAY)
    assert texts(path).keys() == {f"q{n}" for n in (1, 3, 5, 7, 9)}
    assert part_of(path, 1).exists() and not path.exists()
    monkeypatch.undo()
    answer_questions(lambda: engine, questions[:10], path, WAY)
    assert texts(path) == expected(engine, questions[:10])
    assert not part_of(path, 1).exists()


def test_grey_images_and_other_models_have_files_of_their_own(
    engine: Engine, questions: list[Question], tmp_path: Path
) -> None:
    path = tmp_path / "blind.jsonl"
    grey = Way("tiny", blind, "grey", 6)
    answer_questions(lambda: engine, questions[:2], path, grey)
    request = ask(questions[0].prompt, blind(picture(0)), max_new_tokens=6)
    assert texts(path)["q0"] == engine.generate([request])[0].text
    with pytest.raises(UserError, match="holds answers of tiny"):
        answer_questions(never, questions[:2], path, WAY)


def test_two_programs_do_not_write_one_file(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "a.jsonl"), pytest.raises(UserError, match="another process"):
        AnswerLog(tmp_path / "a.jsonl")


def test_a_damaged_line_is_named(questions: list[Question], tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question_id": 1}\n')
    with pytest.raises(UserError, match="line 1 of"):
        answer_questions(never, questions, path, WAY)
