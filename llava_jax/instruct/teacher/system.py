"""What a teacher is told before it sees a scene, by modality and kind of response."""

from llava_jax.instruct.scene import Modality

_WHAT: dict[Modality, str] = {
    "image": "the image",
    "video": "the video",
    "space": "the room",
    "embodied": "the place",
}

_SITUATION = (
    "You write training examples for an assistant that sees {what}. You do not see {what} "
    "yourself. You get notes that people made about {what}: {notes}"
)

_CAPTIONS = "captions, one a line, all about the same picture."
_BOXES = (
    "captions, one a line, all about the same picture; then things with their boxes, written "
    "[x1, y1, x2, y2]: left, top, right and bottom edge as shares of the picture's width and "
    "height, counted from the top left corner. Use the boxes to work out how many things there "
    "are, where in the picture they are, and how they lie to each other."
)
_NOTES: dict[Modality, str] = {
    "image": _BOXES + " Some notes also say what a thing looks like (in brackets behind its name), "
    "which text can be read, how things relate, and what a region shows.",
    "video": "sentences about all of it; events with the seconds in which they happen; things, "
    "how they move in the picture, and how they relate and when. Use the times to work out what "
    "comes first, what happens meanwhile and how long it takes.",
    "space": "things with what they look like and what can be done with them, their sizes and "
    "positions in metres, what stands on what, and how it all looks from a viewpoint. Use the "
    "numbers to work out distances, heights and sides.",
    "embodied": "spots to stand on, the ways between them with their lengths in metres, what is "
    "found where, in which state it is and what can be done with it, and often a task. Use them to "
    "work out what can be reached, how far it is, and what has to be done in which order.",
}

_TASKS: dict[tuple[Modality, str], str] = {
    ("image", "conversation"): "which things there are, how many, what they look like and do, "
    "where they are, and which lies left, right, above or below of which",
    ("video", "conversation"): "who and what appears, what happens, what comes before, after or "
    "during what, how long it lasts, and where things move",
    ("space", "conversation"): "which things there are, what they look like, what stands on what, "
    "how far apart things are, which is larger or higher, and what one can do with them",
    ("embodied", "conversation"): "which spots there are, which are connected, how far it is, what "
    "is found where, in which state it is, and what can be done with it",
    ("image", "detail"): "what the picture is about, every thing with its number and its place, "
    "and how things lie to each other",
    ("video", "detail"): "everything that happens, in the order in which it happens, and what goes "
    "on at the same time",
    ("space", "detail"): "what kind of room it is, every thing with its look and its place, what "
    "stands on what, and how far apart the important things are",
    ("embodied", "detail"): "every spot and what is found there, in which state it is, what can be "
    "done with it, and how the spots are connected",
    ("image", "complex"): "why something is as it is, what may happen next, what somebody there "
    "should do or look out for",
    ("video", "temporal"): "why something happens at that time and not at another, what made it "
    "possible, what it leads to",
    ("space", "viewpoint"): "what somebody at a certain spot sees and what is hidden from them, on "
    "which side things are from there, what changes when they move",
    ("embodied", "plan"): "how to get somewhere by the shortest way, or how to do a task step by "
    "step with what is there",
}

_CONVERSATION = (
    "Write a conversation between a person who asks about {what} and the assistant, of four to "
    "eight questions. Vary them: {task}. Ask only what has one certain answer. It is welcome to "
    "ask for something that is not there, where the notes make sure of that. End with one "
    "question that takes knowledge of the world or reasoning, and answer it at length."
)
_DETAIL = (
    "Write a detailed description of {what} in one to three paragraphs: {task}. Begin with what "
    "matters most."
)
_REASONING = (
    "Write one question that looking alone does not answer, and its answer. It may be about: "
    "{task}. The question must not give away what there is to see. The answer goes step by step "
    "from what is seen to the conclusion, and says which parts of it are only likely."
)

_RULES = (
    "Rules:\n"
    "- Write as somebody who sees {what}. Never speak of notes, captions, boxes or lists.\n"
    "- State only what the notes bear out. Invent no things, numbers, colors, names or deeds. What "
    "they do not mention is unknown, not absent, unless they say that they are complete.\n"
    "- No question may be answerable by somebody who does not see {what}.\n"
    "- {numbers}"
)
_NUMBERS: dict[Modality, str] = {
    "image": "Never write coordinates: say left, right, above, below, in the middle.",
    "video": "Left and right are those of the picture. Seconds may be named, roughly; coordinates "
    "and numbers of events may not.",
    "space": "Metres may be named, roughly; coordinates may not. Left, right, in front and behind "
    "only mean something from a viewpoint, so name it.",
    "embodied": "Metres may be named; coordinates and identifiers may not.",
}

_PAIR = "Question:\n(the question)\n===\nAnswer:\n(the answer)"
_FORMATS = {
    "conversation": f"Write nothing but blocks of this form, one after another:\n{_PAIR}\n===",
    "detail": "Write nothing but the description, without a heading.",
    "reasoning": f"Write nothing but one block of this form:\n{_PAIR}",
}


def system_message(modality: Modality, response: str, faithful: bool) -> str:
    """Situation, task, rules and format. faithful: the notes are the paper's inputs."""
    form = response if response in ("conversation", "detail") else "reasoning"
    paper = _CAPTIONS if response == "conversation" else _BOXES
    task = {"conversation": _CONVERSATION, "detail": _DETAIL, "reasoning": _REASONING}[form]
    parts = (_SITUATION, task, _RULES)
    filled = {
        "what": _WHAT[modality],
        "notes": paper if faithful else _NOTES[modality],
        "task": _TASKS[modality, response],
        "numbers": _NUMBERS[modality],
    }
    return "\n\n".join([*(part.format(**filled) for part in parts), _FORMATS[form]])
