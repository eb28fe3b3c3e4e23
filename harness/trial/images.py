"""Images as files: PNG bytes, and a contact sheet of one trial. Knows nothing of models or records."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw

from harness.report.lettering import dejavu

CELL, GAP, LINE, COLUMNS = 96, 4, 11, 6
CAPTION_LINES, CAPTION_WIDTH = 3, 18


def to_png(image: Image.Image) -> bytes:
    """Encode an image without loss."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def from_png(data: bytes) -> Image.Image:
    """Decode an image as RGB."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def contact_sheet(rows: Sequence[tuple[str, Sequence[tuple[Image.Image, str]]]]) -> Image.Image:
    """Lay out titled rows of captioned images, six to a line, as a small palette image.

    ``rows``: (title, [(image, caption)]). Images keep their proportions inside square cells.
    """
    font = dejavu(9)
    cell_height = CELL + CAPTION_LINES * LINE + GAP
    heights = [LINE + GAP + _lines(len(cells)) * cell_height for _, cells in rows]
    sheet = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, sum(heights) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for (title, cells), height in zip(rows, heights):
        draw.text((GAP, top), title, fill="black", font=font)
        for index, (image, caption) in enumerate(cells):
            left = GAP + index % COLUMNS * (CELL + GAP)
            y = top + LINE + GAP + index // COLUMNS * cell_height
            _paste(sheet, image, left, y)
            words = textwrap.wrap(caption, CAPTION_WIDTH, max_lines=CAPTION_LINES, placeholder=" …")
            draw.multiline_text((left, y + CELL), "\n".join(words), fill="black", font=font, spacing=1)
        top += height
    return sheet.quantize(256, dither=Image.Dither.NONE)


def _lines(cells: int) -> int:
    return -(-cells // COLUMNS)


def _paste(sheet: Image.Image, image: Image.Image, left: int, top: int) -> None:
    scale = CELL / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BICUBIC)
    sheet.paste(small, (left + (CELL - width) // 2, top + (CELL - height) // 2))
