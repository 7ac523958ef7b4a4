"""What nouns mean in labels: COCO's 80 with the words that people use for them.

Of other labels only the label itself, singular or plural, is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from llava_jax.instruct.nouns import plural

# label: words for the same thing ; words for some of them.
_SAME_AND_NARROWER = """
person: human ; man woman boy girl child kid baby toddler lady guy gentleman teenager adult skier
  snowboarder surfer skateboarder cyclist bicyclist motorcyclist pedestrian batter umpire
  player waiter waitress chef policeman fireman bride groom bystander
bicycle: ;
car: automobile ; suv sedan minivan taxi
motorcycle: motorbike ; moped
airplane: plane aeroplane aircraft ; jet airliner
bus: ; minibus
train: ; locomotive
truck: ; pickup
boat: ; sailboat canoe kayak ship rowboat yacht ferry
traffic light: traffic signal stoplight ;
fire hydrant: hydrant ;
stop sign: ;
parking meter: ;
bench: ;
bird: ; duck goose seagull gull pigeon parrot swan owl eagle hawk pelican penguin flamingo sparrow
cat: ; kitten
dog: ; puppy
horse: ; pony foal
sheep: ; lamb ram
cow: ; bull cattle
elephant: ;
bear: ;
zebra: ;
giraffe: ;
backpack: rucksack ;
umbrella: ; parasol
handbag: purse ;
tie: necktie ;
suitcase: ;
frisbee: ;
skis: ski ;
snowboard: ;
sports ball: ; baseball basketball soccer-ball tennis-ball volleyball
kite: ;
baseball bat: ;
baseball glove: ; mitt
skateboard: skate-board ;
surfboard: surf-board ;
tennis racket: racquet tennis-racquet ;
bottle: ;
wine glass: wineglass ;
cup: ; mug
fork: ;
knife: ;
spoon: ;
bowl: ;
banana: ;
apple: ;
sandwich: ; burger hamburger cheeseburger
orange: ;
broccoli: ;
carrot: ;
hot dog: hotdog ;
pizza: ;
donut: doughnut ;
cake: ; cupcake
chair: ; armchair
couch: sofa ; loveseat
potted plant: houseplant ;
bed: ;
dining table: ;
toilet: ;
tv: television ;
laptop: ;
mouse: computer-mouse ;
remote: remote-control ;
keyboard: ;
cell phone: cellphone smartphone mobile-phone ;
microwave: microwave-oven ;
oven: ;
toaster: ;
sink: ;
refrigerator: fridge ;
book: ;
clock: ;
vase: ;
scissors: ;
teddy bear: teddy ;
hair drier: hair-dryer hairdryer ;
toothbrush: ;
"""

# Words for things that may bear one of these labels, or none: they support, they never contradict.
_WIDER = """
people person individual pedestrian passenger driver owner visitor guest worker staff customer
  tourist friend couple crowd audience spectator rider family group student player officer : person
animal pet creature livestock: bird cat dog horse sheep cow elephant bear zebra giraffe
vehicle: bicycle car motorcycle airplane bus train truck boat
bike: bicycle motorcycle
scooter: motorcycle
van: car truck bus
glass: cup wine-glass
drink beverage: cup wine-glass bottle
bag luggage baggage: backpack handbag suitcase
table desk counter: dining-table
plant flower: potted-plant vase
tableware utensil cutlery silverware: fork knife spoon
drinkware: cup wine-glass
ball: sports-ball
bat: baseball-bat
glove: baseball-glove
racket: tennis-racket
monitor screen display: tv laptop
computer: laptop tv
controller: remote
phone: cell-phone
stove cooker: oven
freezer: refrigerator
seat stool: chair bench couch
furniture: chair couch bed dining-table bench
signal light: traffic-light
fruit: banana apple orange
vegetable: carrot broccoli
food: banana apple sandwich orange broccoli carrot hot-dog pizza donut cake
meter: parking-meter
plate dish: bowl
"""

_PLURALS = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "knives": "knife",
    "leaves": "leaf",
    "policemen": "policeman",
    "firemen": "fireman",
    "shelves": "shelf",
    "buses": "bus",
    "skies": "sky",
}


@dataclass(frozen=True)
class Meaning:
    """The labels that a noun may stand for.

    whole: it names everything of the label ("sofa": every couch), not some ("kitten").
    closed: where no such label is annotated exhaustively, the noun's claim is false.
    """

    labels: frozenset[str]
    whole: bool = False
    closed: bool = False


def singular(word: str) -> str:
    """The singular of a plural noun; other words unchanged."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "oes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _read_tables() -> dict[str, Meaning]:
    meanings: dict[str, Meaning] = {}
    for line in _WIDER.replace("\n  ", " ").strip().splitlines():
        words, labels = line.split(":")
        meaning = Meaning(frozenset(label.replace("-", " ") for label in labels.split()))
        meanings |= dict.fromkeys((word.replace("-", " ") for word in words.split()), meaning)
    for line in _SAME_AND_NARROWER.replace("\n  ", " ").strip().splitlines():
        label, words = line.split(": ") if ": " in line else (line.rstrip(":"), ";")
        same, narrower = words.split(";")
        for word in narrower.split():
            meanings[word.replace("-", " ")] = Meaning(frozenset([label]), closed=True)
        for word in (label, *same.split()):
            if word != "person":
                meanings[word.replace("-", " ")] = Meaning(
                    frozenset([label]), whole=True, closed=True
                )
    meanings["person"] = meanings["people"] = Meaning(frozenset(["person"]), whole=True)
    return meanings


MEANINGS = _read_tables()
_LONGEST = 3  # words of a label at most


@lru_cache(maxsize=1024)
def vocabulary(labels: tuple[str, ...]) -> dict[str, str]:
    """Each label's singular and plural -> label."""
    forms = {form: label for label in labels for form in (plural(label), label)}
    return {form.lower(): label for form, label in forms.items()}


def is_noun(word: str) -> bool:
    """Whether the tables know the word as a noun, in singular or plural."""
    return word in MEANINGS or singular(word) in MEANINGS


def is_plural(word: str) -> bool:
    return word in _PLURALS or (singular(word) != word and word not in ("skis", "scissors"))


def meaning_of(words: Sequence[str], labels: tuple[str, ...]) -> tuple[Meaning | None, int]:
    """What the last words of a noun phrase mean in a scene's labels, and how many words that took.

    A word that is a label itself means that label alone. (None, 1) where nothing is known.
    """
    words = list(words)
    known = vocabulary(labels)
    for length in range(min(_LONGEST, len(words)), 0, -1):
        form = " ".join(words[-length:])
        one = " ".join([*words[-length:-1], singular(words[-1])])
        if label := known.get(form) or known.get(one):
            return Meaning(frozenset([label]), whole=True, closed=label != "person"), length
        if meaning := MEANINGS.get(form) or MEANINGS.get(one):
            return _with_narrower(meaning, labels), length
    return None, 1


def _with_narrower(meaning: Meaning, labels: tuple[str, ...]) -> Meaning:
    """A scene that labels a "man" has what "person" names; what "boy" names it may not have."""
    if meaning.closed and not meaning.whole:
        return meaning
    narrower = {
        label
        for label in labels
        if label in MEANINGS and not meaning.labels.isdisjoint(MEANINGS[label].labels)
    }
    return replace(meaning, labels=meaning.labels | narrower)
