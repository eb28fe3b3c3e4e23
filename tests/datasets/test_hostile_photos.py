"""Photos that were made to do harm, or are very many: one line, before they cost memory or time."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.datasets import photos
from harness.datasets.base import DatasetError
from harness.datasets.folder import FolderDataset
from harness.datasets.photos import check_photos, read_photo
from harness.errors import one_line
from harness.specs import DatasetSpec


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    """A PNG that claims so many pixels, and holds none of them unless ``data`` is given."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(60_000, 60_000), (12_000, 12_000), (2**31 - 1, 1), (0, 5)])
def test_a_png_that_claims_billions_of_pixels_is_refused_before_it_is_decoded(tmp_path, monkeypatch, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(*size))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda file: pytest.fail("decoded"))
    with pytest.raises(DatasetError, match=rf"^{path}: not a readable photo \(.*\); replace or remove it$"):
        read_photo(path)


def test_a_text_that_unfolds_to_gigabytes_in_a_png_is_refused(tmp_path):
    text = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(64 << 20), 9))
    pixels = zlib.compress((b"\0" + bytes(6)) * 2)
    (tmp_path / "bomb.png").write_bytes(png(2, 2, text, data=pixels))
    with pytest.raises(DatasetError, match="not a readable photo"):
        read_photo(tmp_path / "bomb.png")


def encoded(form: str) -> bytes:
    image = Image.effect_noise((24, 16), 60).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


WHOLE = {form: encoded(form) for form in ("PNG", "JPEG")}


@given(st.sampled_from(sorted(WHOLE)), st.randoms(use_true_random=False), st.integers(1, 12))
def test_a_damaged_photo_is_read_or_refused_in_one_line_and_nothing_else(tmp_path_factory, form, chance, n):
    damaged = spoiled(bytearray(WHOLE[form]), chance, n)
    path = tmp_path_factory.mktemp("photos") / f"a.{form.lower()}"
    path.write_bytes(damaged)
    for look in (read_photo, photos._kept_bytes):
        try:
            look(path)
        except DatasetError as error:
            assert str(path) in str(error) and "\n" not in one_line(error)


def spoiled(data: bytearray, chance: random.Random, n: int) -> bytes:
    for _ in range(n):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data[: chance.randrange(len(data))] if chance.random() < 0.3 else data)


@pytest.fixture
def many(tmp_path):
    """A subject of 10,000 photos."""
    (tmp_path / "rex").mkdir()
    photo = png(1, 1, data=zlib.compress(b"\0\1\2\3"))
    for number in range(10_000):
        (tmp_path / "rex" / f"{number:05}.png").write_bytes(photo)
    (tmp_path / "subjects.yaml").write_text("subjects: {rex: dog}\n")
    return FolderDataset.open(DatasetSpec(name="folder", path=str(tmp_path)))


def test_of_ten_thousand_photos_only_the_shots_are_opened(many, monkeypatch):
    opened: list[Path] = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path) or real(path))
    assert many.most_shots("rex") == 10_000
    names = many.shot_names("rex", 3, seed=0)
    many.shots_identity("rex", 3, seed=0)
    assert opened == []
    assert len(many.shots("rex", 3, seed=0).shots) == 3
    assert [path.name for path in opened] == names


def test_of_ten_thousand_photos_a_thousand_are_decoded_before_a_sweep(many, monkeypatch):
    decoded: list[Path] = []
    real = photos.read_photo
    monkeypatch.setattr(photos, "read_photo", lambda path: decoded.append(path) or real(path))
    many.check(["rex"], [3])
    assert len(decoded) == photos.DECODED


def test_a_damaged_header_far_down_a_large_folder_is_named(many):
    (many.folder / "rex" / "09000.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"09000\.png: not a readable photo \(not an image\)"):
        many.check(["rex"], [3])


def test_photos_that_no_worker_can_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "DECODED", 2)
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(9_000, 9_000))
    monkeypatch.setattr(photos, "read_photo", lambda path: None)
    monkeypatch.setattr(photos, "MOST_BYTES", 3 * 3 * 2048**2)
    check_photos(sorted(tmp_path.iterdir()))
    monkeypatch.setattr(photos, "MOST_BYTES", 3 * 3 * 2048**2 - 1)
    with pytest.raises(DatasetError, match=rf"^{tmp_path}: 3 photos take 0 GB in memory, and every worker"):
        check_photos(sorted(tmp_path.iterdir()))


def test_a_name_that_a_terminal_would_obey_is_written_out(tmp_path):
    (tmp_path / "a\x1b[31m.png").write_bytes(b"nothing")
    with pytest.raises(DatasetError) as caught:
        read_photo(tmp_path / "a\x1b[31m.png")
    assert r"a\x1b[31m.png: not a readable photo" in one_line(caught.value)
    assert one_line(caught.value).isprintable()
