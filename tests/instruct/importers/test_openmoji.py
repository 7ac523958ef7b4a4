from collections import Counter
from itertools import combinations
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from llava_jax.errors import UserError
from llava_jax.instruct.importers import openmoji
from llava_jax.instruct.importers.coco import read_whole
from llava_jax.instruct.importers.openmoji import SceneStyle, draw_scene, draw_set, held_out_pairs
from llava_jax.instruct.importers.openmoji_kinds import KINDS
from llava_jax.instruct.scene import Scene
from tests.instruct.drawn import STYLE, drawn_scenes, rectangles


def pairs_in(scene: Scene) -> set[frozenset[str]]:
    labels = {entity.label for entity in scene.entities}
    return {frozenset(pair) for pair in combinations(labels, 2)}


def test_held_out_pairs_spread_evenly() -> None:
    pairs = held_out_pairs(STYLE)
    per_kind = Counter(kind for pair in pairs for kind in pair)
    assert all(len(pair) == 2 for pair in pairs)
    assert set(per_kind) == set(KINDS)
    assert len(set(per_kind.values())) == 1
    everything = len(KINDS) * (len(KINDS) - 1) / 2
    assert len(pairs) / everything == pytest.approx(STYLE.held_out_share, abs=0.02)
    assert pairs == held_out_pairs(SceneStyle(size=64, textures=("plain",)))
    assert pairs != held_out_pairs(SceneStyle(held_out_seed=1))


def test_no_training_scene_has_a_held_out_pair_and_every_held_out_scene_has_one() -> None:
    pairs = held_out_pairs(STYLE)
    assert not any(pairs_in(scene) & pairs for scene in drawn_scenes(200))
    assert all(pairs_in(scene) & pairs for scene in drawn_scenes(200, "held_out"))


def test_objects_stand_apart_inside_the_image() -> None:
    sizes = Counter()
    for scene in drawn_scenes(150):
        sizes[len(scene.entities)] += 1
        for a, b in combinations(scene.entities, 2):
            gap_x = max(a.box.x1, b.box.x1) - min(a.box.x2, b.box.x2)
            gap_y = max(a.box.y1, b.box.y1) - min(a.box.y2, b.box.y2)
            assert max(gap_x, gap_y) >= -round(STYLE.overlap * STYLE.size) / STYLE.size - 1e-6
        for entity in scene.entities:
            longer = max(entity.box.x2 - entity.box.x1, entity.box.y2 - entity.box.y1)
            assert 0.29 <= longer <= 0.47
    assert set(sizes) == {1, 2, 3, 4}


def test_boxes_hold_the_pixels_of_their_objects() -> None:
    sprites = rectangles()
    image, scene = draw_scene(np.random.default_rng(5), STYLE, sprites)
    pixels = np.asarray(image)
    painted = np.zeros((64, 64), bool)
    for entity in scene.entities:
        x1, y1, x2, y2 = (
            round(64 * v) for v in (entity.box.x1, entity.box.y1, entity.box.x2, entity.box.y2)
        )
        looks = [sprites[look.codepoint] for look in KINDS[entity.label].looks]
        colors = [look.getpixel((0, 0))[:3] for look in looks]
        inside = pixels[y1:y2, x1:x2].reshape(-1, 3)
        assert len(np.unique(inside, axis=0)) == 1
        assert tuple(inside[0]) in colors
        painted[y1:y2, x1:x2] = True
    assert len(np.unique(pixels[~painted], axis=0)) == 1


def test_the_same_seed_draws_the_same_scene() -> None:
    style = SceneStyle(size=64)
    sprites = rectangles(style)
    first, other = (draw_scene(np.random.default_rng(7), style, sprites) for _ in range(2))
    assert first[1] == other[1]
    assert np.array_equal(np.asarray(first[0]), np.asarray(other[0]))
    assert draw_scene(np.random.default_rng(8), style, sprites)[1] != first[1]


def test_impossible_styles_are_refused() -> None:
    crowded = SceneStyle(size=64, objects=(4,), extent=(0.9, 0.9))
    with pytest.raises(UserError, match="do not fit"):
        draw_scene(np.random.default_rng(0), crowded, rectangles())
    alone = SceneStyle(size=64, objects=(1,))
    with pytest.raises(UserError, match="need two objects"):
        draw_scene(np.random.default_rng(0), alone, rectangles(), "held_out")


def test_a_set_is_drawn_once_and_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(b"stands for the font")
    monkeypatch.setattr(openmoji, "load_sprites", lambda font, style: rectangles(style))
    files = draw_set(tmp_path / "set", 5, 1, "train", STYLE, font)
    scenes = read_whole(files)
    assert len(scenes) == 5
    for scene in scenes:
        with Image.open(files.images / scene.image) as image:
            assert image.size == (scene.width, scene.height) == (64, 64)
    written = files.instances.stat().st_mtime_ns
    draw_set(tmp_path / "set", 5, 1, "train", STYLE, font)
    assert files.instances.stat().st_mtime_ns == written
    with pytest.raises(UserError, match="something else"):
        draw_set(tmp_path / "set", 6, 1, "train", STYLE, font)
    assert files.instances.stat().st_mtime_ns == written


def test_an_interrupted_set_is_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    font = tmp_path / "font.ttf"
    font.write_bytes(b"stands for the font")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(openmoji, "load_sprites", lambda font, style: rectangles(style))
    with monkeypatch.context() as patch:
        patch.setattr(openmoji, "write_scenes", interrupted)
        with pytest.raises(KeyboardInterrupt):
            draw_set(tmp_path / "set", 3, 1, "train", STYLE, font)
    assert not (tmp_path / "set").exists()
    assert len(read_whole(draw_set(tmp_path / "set", 3, 1, "train", STYLE, font))) == 3
    assert not (tmp_path / "set.partial").exists()


def test_a_font_without_the_pictures_is_refused(tmp_path: Path) -> None:
    other = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    with pytest.raises(UserError, match="lacks"):
        openmoji.load_sprites(other, STYLE)
    with pytest.raises(UserError, match="cannot be read as a font"):
        openmoji.load_sprites(tmp_path / "none.ttf", STYLE)


def test_every_kind_has_its_own_colored_picture(pocket_font: Path) -> None:
    sprites = openmoji.load_sprites(pocket_font, STYLE)
    assert len(sprites) == sum(len(kind.looks) for kind in KINDS.values())
    assert len({sprite.tobytes() for sprite in sprites.values()}) == len(sprites)
    for kind in KINDS.values():
        for look in kind.looks:
            pixels = np.asarray(sprites[look.codepoint]).reshape(-1, 4)
            assert pixels[:, 3].max() == 255
            if look.color not in (None, "white", "gray"):
                assert np.ptp(pixels[:, :3].astype(int), axis=1).max() > 60


def test_binding_scenes_hold_two_kinds_whose_colors_could_be_swapped() -> None:
    colors_of = {name: {look.color for look in kind.looks} for name, kind in KINDS.items()}
    seen = set()
    for scene in drawn_scenes(60, "binding"):
        a, b = scene.entities
        o, p = a.attributes["color"], b.attributes["color"]
        assert a.label != b.label
        assert o != p
        assert {o, p} <= colors_of[a.label] & colors_of[b.label]
        seen |= {(a.label, o), (b.label, p)}
    assert {label for label, _ in seen} == {"book", "heart", "circle", "square"}
    alone = SceneStyle(size=64, kinds=("dog", "heart"))
    with pytest.raises(UserError, match="share two colors"):
        draw_scene(np.random.default_rng(0), alone, rectangles(alone), "binding")
