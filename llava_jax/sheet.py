"""A picture sheet: images with what was asked, what the model answered, and whether it is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from llava_jax.run_folder import RunFolder

# All lengths in pixels of the written file.
CARD = 470
MARGIN = 28
PADDING = 22
TEXT_SIZE = 25
LINE_HEIGHT = 35
TURN_GAP = 12
MARK_WIDTH = 36

PAPER = "#eef0f4"
WHITE = "#ffffff"
EDGE = "#d5d9e2"
INK = "#1c2330"
SOFT = "#6a7385"
RIGHT = "#1a8f4c"
WRONG = "#cc3344"


@dataclass(frozen=True)
class SheetLine:
    """A question and the answer to it. `correct` None leaves out the mark, as in samples during
    training; a wrong answer is followed by `truth`.
    """

    question: str
    answer: str
    truth: str = ""
    correct: bool | None = None


@dataclass(frozen=True)
class SheetItem:
    image: Image.Image
    lines: tuple[SheetLine, ...]


def draw_sheet(items: Sequence[SheetItem], path: RunFolder, columns: int = 4) -> None:
    """Writes the items as a PNG, cards in rows of `columns`; cards of a row are equally high."""
    columns = min(columns, len(items))
    texts = [_lay_out(item.lines) for item in items]
    rows = [list(range(i, min(i + columns, len(items)))) for i in range(0, len(items), columns)]
    heights = [CARD + 2 * PADDING + max(_text_height(texts[i]) for i in row) for row in rows]
    width = columns * CARD + (columns + 1) * MARGIN
    sheet = Image.new("RGB", (width, sum(heights) + (len(rows) + 1) * MARGIN), PAPER)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for column, i in enumerate(row):
            left = MARGIN + column * (CARD + MARGIN)
            _draw_card(sheet, (left, top), height, items[i].image, texts[i])
        top += height + MARGIN
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        sheet.save(file, format="PNG", optimize=True)


@dataclass(frozen=True)
class _Text:
    """One laid-out line: drawn `indent` from the left; a mark may stand before it."""

    words: str
    color: str
    bold: bool = False
    mark: str = ""
    gap: int = 0  # room above it


def _lay_out(lines: Sequence[SheetLine]) -> list[_Text]:
    texts: list[_Text] = []
    for line in lines:
        mark = {None: "", True: "\u2713", False: "\u2717"}[line.correct]
        color = {None: INK, True: RIGHT, False: WRONG}[line.correct]
        for number, words in enumerate(_wrap(line.question, bold=False)):
            gap = TURN_GAP if texts and not number else 0
            texts.append(_Text(words, SOFT, gap=gap))
        for number, words in enumerate(_wrap(line.answer or "(no answer)", bold=True)):
            texts.append(_Text(words, color, bold=True, mark="" if number else mark))
        if line.correct is False:
            texts += [_Text(words, SOFT) for words in _wrap(f"truth: {line.truth}", bold=False)]
    return texts


def _wrap(text: str, bold: bool) -> list[str]:
    """Breaks at spaces; a single word that is too long stays in one piece."""
    font = _font(bold)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= CARD - 2 * PADDING - MARK_WIDTH:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _text_height(texts: Sequence[_Text]) -> int:
    return sum(LINE_HEIGHT + text.gap for text in texts)


def _draw_card(
    sheet: Image.Image,
    corner: tuple[int, int],
    height: int,
    image: Image.Image,
    texts: Sequence[_Text],
) -> None:
    left, top = corner
    draw = ImageDraw.Draw(sheet)
    frame = (left, top, left + CARD, top + height)
    draw.rounded_rectangle(frame, radius=14, fill=WHITE, outline=EDGE, width=2)
    side = CARD - 2 * PADDING
    scale = side / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    fitted = image.resize(size, Image.Resampling.LANCZOS)
    offset = ((side - fitted.width) // 2, (side - fitted.height) // 2)
    sheet.paste(fitted, (left + PADDING + offset[0], top + PADDING + offset[1]))
    y = top + CARD
    for text in texts:
        y += text.gap
        if text.mark:
            draw.text((left + PADDING, y), text.mark, fill=text.color, font=_font(bold=True))
        draw.text(
            (left + PADDING + MARK_WIDTH, y), text.words, fill=text.color, font=_font(text.bold)
        )
        y += LINE_HEIGHT


def _font(bold: bool) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), TEXT_SIZE)
