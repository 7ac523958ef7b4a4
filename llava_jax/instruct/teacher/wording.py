"""The one place where questions and short answers get their words, in training and in tests."""

import random

from llava_jax.instruct.facts.image import Fact
from llava_jax.instruct.nouns import NUMBERS, noun, plural, sentence, with_article
from llava_jax.instruct.scene import Modality

QUESTIONS: dict[str, tuple[str, ...]] = {
    "presence": ("Is there {a_subject} in the image?", "Can you see {a_subject}?"),
    "left": ("What is to the left of the {subject}?",),
    "right": ("What is to the right of the {subject}?",),
    "above": ("What is above the {subject}?",),
    "below": ("What is below the {subject}?",),
    "side": ("Is the {subject} to the left or to the right of the {other}?",),
    "height": ("Is the {subject} above or below the {other}?",),
    "category": ("What {subject} is in the image?", "Which {subject} can you see?"),
    "color": ("What color is the {subject}?",),
    "background": ("What color is the background?",),
    "count": ("How many {subjects} are there?", "How many {subjects} are in the image?"),
    "total": ("How many objects are there?", "How many objects are in the image?"),
}

CAPTION_QUESTIONS = (
    "What is in the image?",
    "What can you see?",
    "Give a short caption for the image.",
)

# What a detailed description answers.
DETAIL_QUESTIONS: dict[Modality, tuple[str, ...]] = {
    "image": (
        "Describe the image in detail.",
        "Tell me everything that you can see here.",
        "Write a careful description of this picture.",
        "What does the image show, and where is each thing?",
        "Please go through the picture thoroughly.",
        "Can you explain what is where in this image?",
        "Give a full account of the scene.",
        "Describe this picture to somebody who cannot see it.",
        "What is going on in this image? Leave nothing out.",
        "Paint the scene for me in words.",
        "Look closely at the image and report what you find.",
        "I would like a complete description of the photo.",
    ),
    "video": (
        "Describe the video in detail.",
        "Tell me everything that happens, from beginning to end.",
        "Write a careful description of this clip.",
        "What does the video show, and in which order?",
        "Go through the video step by step, please.",
        "Retell this clip to somebody who cannot watch it.",
    ),
    "space": (
        "Describe the room in detail.",
        "Tell me everything that is here and where it stands.",
        "Write a careful description of this space.",
        "How is this place furnished? Leave nothing out.",
        "Give a full account of the room's layout.",
        "Describe this space to somebody who has never been in it.",
    ),
    "embodied": (
        "Describe the surroundings in detail.",
        "Tell me everything about this place and how one moves through it.",
        "Write a careful description of where you are.",
        "What is here, what can be done with it, and how are the places connected?",
        "Give a full account of the environment.",
        "Describe this place to somebody who has to find their way in it.",
    ),
}


def question(fact: Fact, rng: random.Random) -> str:
    """The fact as a question, in one of the phrasings of its form."""
    return rng.choice(QUESTIONS[fact.form]).format(
        subject=noun(fact.subject),
        a_subject=with_article(noun(fact.subject)) if fact.subject else "",
        subjects=plural(fact.subject),
        other=noun(fact.other),
    )


def answer(fact: Fact) -> str:
    """The fact's truth as a short sentence: "Yes.", "A dog.", "Three.", "Red.", "To the left."."""
    if fact.form in ("count", "total"):
        return sentence(NUMBERS[int(fact.truth)])
    if fact.form == "side":
        return sentence(f"to the {fact.truth}")
    if fact.form in ("presence", "color", "background", "height"):
        return sentence(fact.truth)
    return sentence(with_article(noun(fact.truth)))
