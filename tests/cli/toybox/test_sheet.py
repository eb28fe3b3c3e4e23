"""Sheets: whole captions, what is on which sheet, and that a seed changes what it should."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFont
from torch import Tensor

from harness.cli.toybox import sheet
from harness.toybox.captions import ACCESSORY_PHRASES
from harness.toybox.scenes.backdrops import BACKDROPS
from harness.toybox.scenes.world import CLASSES


class FakeNetworks:
    """Grey samples, reconstructions in negative; keeps what it was asked for."""

    asked: tuple[Sequence[str], int] = ((), -1)

    def generate(self, texts: Sequence[str], *, seed: int) -> Tensor:
        FakeNetworks.asked = texts, seed
        return torch.full((len(texts), 3, 64, 64), 128, dtype=torch.uint8)

    def reconstruct(self, pictures: Tensor) -> Tensor:
        return 255 - pictures


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "ToyboxNetworks", FakeNetworks)


def test_captions_show_the_whole_vocabulary() -> None:
    said = " / ".join(sheet.CAPTIONS)
    words = (*CLASSES, *(backdrop.phrase for backdrop in BACKDROPS.values()), *ACCESSORY_PHRASES.values())
    assert [word for word in (*words, "dotted", "striped", "checkered", "sks") if word not in said] == []
    assert len(set(sheet.CAPTIONS)) == 24


def test_titles_keep_all_words_and_the_width() -> None:
    font = ImageFont.load_default(size=sheet.LETTERS)
    for title in sheet.CAPTIONS:
        lines = sheet.title_lines(title, 192, font)
        assert " ".join(lines) == title
        assert max(font.getlength(line) for line in lines) <= 192


def test_a_grid_holds_every_picture_and_its_title() -> None:
    pictures = torch.stack([torch.full((3, 64, 64), value, dtype=torch.uint8) for value in (10, 20, 30)])
    drawn = sheet.grid(pictures, 2, ["one", "two", "three"])
    assert drawn.width == 2 * (192 + sheet.GAP) + sheet.GAP
    assert {10, 20, 30} <= {colour[0] for _, colour in drawn.getcolors(1 << 16) if len(set(colour)) == 1}
    with pytest.raises(ValueError, match="as many titles"):
        sheet.grid(pictures, 2, ["one"])


def test_samples_are_of_the_captions_in_turn(tmp_path: Path) -> None:
    sheet.samples_sheet(tmp_path / "new" / "samples.png", count=26, seed=7)
    texts, seed = FakeNetworks.asked
    assert (list(texts), seed) == ([*sheet.CAPTIONS, *sheet.CAPTIONS[:2]], 7)
    with Image.open(tmp_path / "new" / "samples.png") as picture:
        assert picture.width == 6 * (192 + sheet.GAP) + sheet.GAP


def test_reconstructions_stand_beside_their_renders(tmp_path: Path) -> None:
    path = sheet.reconstructions_sheet(tmp_path / "pairs.png", count=1)
    with Image.open(path) as picture:
        left, right = picture.getpixel((40, 40)), picture.getpixel((40 + 195, 40))
    assert isinstance(left, tuple) and isinstance(right, tuple)
    assert all(abs(a + b - 255) <= 2 for a, b in zip(left, right, strict=True))


def test_a_seed_draws_other_scenes(tmp_path: Path) -> None:
    first, again, other = (
        sheet.scenes_sheet(tmp_path / f"{name}.png", count=2, seed=seed).read_bytes()
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert first == again != other


def test_subjects_drawn_by_rule_take_two_cells_each(tmp_path: Path) -> None:
    with Image.open(sheet.confirmation_sheet(tmp_path / "confirmation.png", count=3)) as picture:
        assert picture.width == 6 * (128 + sheet.GAP) + sheet.GAP


def test_subjects_take_a_row_each(tmp_path: Path) -> None:
    with Image.open(sheet.subjects_sheet(tmp_path / "subjects.png", count=1)) as picture:
        assert picture.width == 12 * (128 + sheet.GAP) + sheet.GAP
