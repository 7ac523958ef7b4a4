"""VQA accuracy: an answer is right as far as ten people agree with it (Antol et al., 2015).

Over the sets of nine that leave one person out, the mean of min(how many agree / 3, 1), after both
sides are written alike. `upload` is the normalisation of LLaVA's uploads and of TextVQA's
evaluator, `official` that of the VQA and VizWiz servers, `plain` ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from llava_jax.evaluation.benchmarks.benchmark import (
    Mark,
    Question,
    Score,
    accuracy,
    refuse_hidden,
)

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = "zero one two three four five six seven eight nine ten"
_DIGITS = {"none": "0"} | {word: str(n) for n, word in enumerate(_NUMBERS.split())}
_ARTICLES = {"a", "an", "the"}

# What the official table restores: a word that lacks one of its apostrophes.
_CONTRACTIONS = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
    might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
    shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
    someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're
    what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
    why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
    you've
"""
_RESTORED = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the one that the table has the wrong way round

# How an answer and the people's are written before they are compared.
Normalisation = Callable[[str, Sequence[str]], tuple[str, Sequence[str]]]


def agreement(answer: str, people: Sequence[str]) -> float:
    """The accuracy of one answer."""
    alike = people.count(answer)
    without_one, without_other = min((alike - 1) / 3, 1), min(alike / 3, 1)
    return (alike * without_one + (len(people) - alike) * without_other) / len(people)


def vqa_score(
    questions: Sequence[Question], answers: Mapping[str, str], normalised: Normalisation
) -> Score:
    """Mean VQA accuracy; the truth of a question is what people answered."""
    refuse_hidden(questions)
    marks = []
    for question in questions:
        said, people = normalised(answers[question.id], question.truth)
        marks.append(Mark(question.id, said, agreement(said, people)))
    return replace(accuracy(questions, marks), metric="VQA accuracy")


def upload(answer: str) -> str:
    """Lower case without commas and question marks, then as `official`."""
    answer = answer.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return official(answer)


def official(answer: str) -> str:
    return words(punctuation(answer.replace("\n", " ").replace("\t", " ").strip()))


def punctuation(text: str) -> str:
    """Without punctuation, with the official code's quirks.

    A mark becomes a space, but nothing if one of its kind stands beside a space or if a comma
    stands between digits anywhere. Periods before anything but a digit go: the regex was to spare
    those after a digit, too, but its lookbehind is malformed. Only the first 32 go: a flag stands
    in the place of the count.
    """
    comma_in_number = re.search(r"\d,\d", text)
    bare = text
    for mark in _MARKS:
        beside_space = f"{mark} " in text or f" {mark}" in text
        bare = bare.replace(mark, "" if beside_space or comma_in_number else " ")
    return re.sub(r"\.(?!\d)", "", bare, count=32)


def words(text: str) -> str:
    """Lower-case words without articles, numbers up to ten as digits, apostrophes restored."""
    spelt = [_DIGITS.get(word, word) for word in text.lower().split()]
    return " ".join(_RESTORED.get(word, word) for word in spelt if word not in _ARTICLES)


def strict(answer: str, people: Sequence[str]) -> tuple[str, list[str]]:
    """Both sides alike, whatever they are."""
    return plain(answer), [plain(person) for person in people]


def plain(text: str) -> str:
    """As words, where each mark is a space, and commas in numbers and periods but decimal ones
    are nothing.
    """
    text = re.sub(r"(?<=\d),(?=\d)|\.(?!\d)", "", text)
    return words(re.sub(f"[{re.escape(_MARKS)}]", " ", text))
