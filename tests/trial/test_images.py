"""PNG round trips and contact sheets."""

from __future__ import annotations

import io

from PIL import Image

from harness.trial.images import CELL, COLUMNS, GAP, contact_sheet, from_png, to_png


def test_png_loses_nothing():
    picture = Image.effect_noise((33, 20), 90).convert("RGB")
    assert from_png(to_png(picture)).tobytes() == picture.tobytes()


def test_sheet_grows_by_lines_of_six():
    cells = [
        (Image.new("RGB", (10, 20), "red"), "a caption that is far too long for three short lines, so cut")
    ]
    one, seven = (contact_sheet([("title", cells * count)]) for count in (1, 7))
    assert one.width == seven.width == COLUMNS * (CELL + GAP) + GAP
    assert seven.height > one.height > CELL


def test_sheet_shows_the_pictures_whole():
    wide = Image.new("RGB", (40, 10), (255, 0, 0))
    sheet = contact_sheet([("row", [(wide, "")])]).convert("RGB")
    red = [
        xy
        for xy in ((x, y) for x in range(sheet.width) for y in range(sheet.height))
        if sheet.getpixel(xy) == (255, 0, 0)
    ]
    width = max(x for x, _ in red) - min(x for x, _ in red) + 1
    height = max(y for _, y in red) - min(y for _, y in red) + 1
    assert (width, height) == (CELL, CELL // 4)


def test_sheet_is_small():
    noisy = [(Image.effect_noise((512, 512), 90).convert("RGB"), "noise")] * 25
    buffer = io.BytesIO(to_png(contact_sheet([("row", noisy)])))
    assert len(buffer.getvalue()) < 300_000


def test_the_letters_of_titles_are_in_the_font():
    from harness.report.lettering import dejavu

    missing = dejavu(9).getmask("\ufffe")  # no character: the box that stands for what a font lacks
    for letter in "λΔθε‖≤·×é":
        drawn = dejavu(9).getmask(letter)
        assert (drawn.size, bytes(drawn)) != (missing.size, bytes(missing)), letter
