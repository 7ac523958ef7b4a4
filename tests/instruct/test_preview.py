"""The page is read with an HTML parser: what a browser would make of it."""

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from llava_jax.instruct.grounding.finding import Finding, Span, Verdict
from llava_jax.instruct.preview import PreviewItem, preview, write_preview
from llava_jax.instruct.scene import Modality
from llava_jax.instruct.turns import Turn
from tests.instruct.drawn import scene_of

EVIL = "\"><script>alert(1)</script><img src=x onerror='alert(1)'>&lt;"
VOID = {"meta", "br"}


@dataclass
class Tag:
    name: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """All tags in order, each with the text directly or further inside it."""

    tags: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(self.tags[-1])

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("image", "rect") or self.open[-1].name == tag:
            assert self.open.pop().name == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            tag.text += data

    def all(self, name: str, **attributes: str) -> list[Tag]:
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [t for t in self.tags if t.name == name and wanted.items() <= t.attributes.items()]


def parse(*items: PreviewItem, images: Path | None = None) -> Page:
    page = Page()
    page.feed(preview(items, images))
    assert not page.open
    return page


def finding(verdict: Verdict, start: int, end: int, evidence: str = "because") -> Finding:
    return Finding("objects", verdict, Span(0, "answer", start, end), "", evidence)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    Image.new("RGB", (800, 400), "white").save(tmp_path / "1.jpg")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    return tmp_path


def test_an_image_with_its_boxes(images: Path) -> None:
    scene = scene_of(("dog", 0.5, 0.5), ("cat", 0.2, 0.25), ("dog", 0.8, 0.5))
    page = parse(PreviewItem(scene, "dog: [...]", (Turn("What?", "Dogs."),)), images=images)
    (image,) = page.all("image")
    kind, data = (image.attributes["href"] or "").split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (320, 160)
    boxes = page.all("rect")
    assert [box.text for box in boxes] == ["dog", "cat", "dog"]
    place = {key: boxes[0].attributes[key] for key in ("x", "y", "width", "height")}
    assert place == {"x": "144.0", "y": "72.0", "width": "32.0", "height": "16.0"}
    colors = [box.attributes["stroke"] for box in boxes]
    assert colors[0] == colors[2] != colors[1]
    assert page.all("pre")[0].text == "dog: [...]"
    assert [t.text for t in page.all("p", class_="question")] == ["What?"]


def test_claims_are_marked_where_they_stand() -> None:
    answer = "A <dog> & a cat"
    found = (
        finding("pass", 2, 7),
        finding("unknown", 0, 15, "whole"),
        finding("fail", 12, 15, "no cat"),
        finding("fail", 90, 99),  # beyond the text: nothing to mark
    )
    page = parse(PreviewItem(scene_of(), "", (Turn("Dog?", answer),), found))
    (said,) = page.all("p", class_="answer")
    assert said.text == answer
    marks = [mark for mark in page.all("mark") if "title" in mark.attributes]
    assert [(mark.attributes["class"], mark.text) for mark in marks] == [
        ("unknown", "A "),
        ("unknown", "<dog>"),
        ("unknown", " & a "),
        ("fail", "cat"),
    ]
    assert marks[3].attributes["title"] == "unknown (objects): whole\nfail (objects): no cat"
    legend = [mark.text for mark in page.all("mark") if "title" not in mark.attributes]
    assert legend == ["pass 1", "unknown 1", "warn 0", "fail 2"]


def test_nothing_that_others_wrote_becomes_markup(images: Path) -> None:
    scene = scene_of((EVIL, 0.5, 0.5), id=EVIL, source=EVIL, license=EVIL)
    missing = scene_of(image=f"{EVIL}.jpg")
    turns = (Turn(EVIL, EVIL),)
    found = (finding("fail", 0, 5, EVIL),)
    page = parse(
        PreviewItem(scene, EVIL, turns, found, EVIL),
        PreviewItem(missing, EVIL, turns),
        images=images,
    )
    names = {tag.name for tag in page.tags}
    assert not names & {"script", "img", "a", "iframe", "object"}
    attributes = {key for tag in page.tags for key in tag.attributes}
    assert not any(key.startswith("on") for key in attributes)
    assert {tag.text for tag in page.all("p", class_="answer") + page.all("pre")} == {EVIL}
    assert page.all("p", class_="problem")[0].text == EVIL
    assert page.all("rect")[0].text == EVIL
    assert "default-src 'none'" in str(page.all("meta")[1].attributes["content"])


@pytest.mark.parametrize(
    ("name", "words"), [("broken.jpg", "cannot identify"), ("gone.jpg", "no such file")]
)
def test_a_picture_that_is_not_there_is_said(images: Path, name: str, words: str) -> None:
    page = parse(PreviewItem(scene_of(image=name), "symbols", ()), images=images)
    (place,) = page.all("p", class_="missing")
    assert words in place.text and name in place.text
    assert not page.all("svg")


@pytest.mark.parametrize("modality", ["video", "space", "embodied"])
def test_scenes_without_an_image_show_their_symbols(images: Path, modality: Modality) -> None:
    page = parse(PreviewItem(scene_of(modality=modality), "0.0 s: x", ()), images=images)
    assert not page.all("svg") and not page.all("p", class_="missing")
    assert "open" in page.all("details")[0].attributes


def test_it_is_written_whole_whatever_it_holds(tmp_path: Path) -> None:
    items = [PreviewItem(scene_of(), "\ud83d é", (), problem="unreadable: nothing")]
    write_preview(tmp_path / "preview.html", items, None)
    assert "? é" in (tmp_path / "preview.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["preview.html"]
