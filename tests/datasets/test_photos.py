"""Reading photos: orientation, modes, depth, and files that cannot be read."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.datasets.base import DatasetError
from harness.datasets.photos import LONGEST_SIDE, photo_digest, photo_files, read_photo, squared
from harness.datasets.shots import draw


def colours(image):
    """Left and right half of a picture, as mean colours."""
    pixels = np.asarray(image, dtype=float)
    half = pixels.shape[1] // 2
    return pixels[:, :half].mean((0, 1)).round().tolist(), pixels[:, half:].mean((0, 1)).round().tolist()


def test_exif_orientation_is_applied(tmp_path):
    # Orientation 6: the camera was turned, the first row of the file is the right side of the scene.
    stored = Image.new("RGB", (40, 20), "black")
    stored.paste("white", (0, 0, 40, 10))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "a.jpg", exif=exif, quality=100)
    upright = read_photo(tmp_path / "a.jpg")
    assert upright.size == (20, 40)
    left, right = colours(upright)
    assert max(left) < 10 and min(right) > 245


def test_transparency_lies_on_white(tmp_path):
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 255))
    image.paste((0, 0, 0, 0), (0, 0, 5, 10))
    image.save(tmp_path / "a.png")
    assert colours(read_photo(tmp_path / "a.png")) == ([255, 255, 255], [255, 0, 0])


def test_palette_with_transparency_lies_on_white(tmp_path):
    image = Image.new("P", (10, 10), 0)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.paste(1, (5, 0, 10, 10))
    image.save(tmp_path / "a.png", transparency=0)
    assert colours(read_photo(tmp_path / "a.png")) == ([255, 255, 255], [0, 0, 255])


@pytest.mark.parametrize("mode", ["L", "1", "LA", "CMYK", "RGB"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (12, 8), "white").convert(mode).save(path)
    photo = read_photo(path)
    assert photo.mode == "RGB"
    assert np.asarray(photo).min() > 250


def test_16_bits_are_scaled_not_cut(tmp_path):
    values = np.array([[0, 128 * 257, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.asarray(read_photo(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 128, 255]


def test_a_corrupt_photo_is_named_in_one_line(tmp_path):
    Image.effect_noise((64, 64), 50).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("not a picture")
    for name in ("cut.jpg", "text.png"):
        with pytest.raises(DatasetError, match=rf"{name}: not a readable photo \(.*\); replace or remove it"):
            read_photo(tmp_path / name)


def test_photos_are_sorted_and_other_files_left_alone(tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "c.jpeg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert [path.name for path in photo_files(tmp_path)] == ["a.jpg", "b.PNG", "c.jpeg"]


def test_an_empty_folder_says_what_it_found(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"no photos in it \(found \.heic\); needs \.jpg"):
        photo_files(tmp_path)
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        photo_files(tmp_path / "nowhere")


def test_a_huge_photo_is_reduced(tmp_path):
    Image.new("L", (4500, 3000), 200).save(tmp_path / "a.jpg")
    photo = read_photo(tmp_path / "a.jpg")
    assert max(photo.size) == LONGEST_SIDE
    assert photo.size[0] / photo.size[1] == pytest.approx(1.5, abs=0.01)


def test_digest_follows_the_bytes(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    first = photo_digest(tmp_path / "a.png")
    Image.new("RGB", (4, 5)).save(tmp_path / "a.png")
    assert photo_digest(tmp_path / "a.png") != first


MEMORY = """
import resource, sys
from pathlib import Path
from harness.datasets.photos import read_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
photo = read_photo(Path(sys.argv[1]))
print(max(photo.size), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_fifty_megapixels_are_decoded_small(tmp_path):
    Image.new("RGB", (8688, 5792), (200, 90, 10)).save(tmp_path / "a.jpg")
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.jpg")]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(told[0]) == LONGEST_SIDE
    assert int(told[1]) < 8688 * 5792 * 3 / 2**20, "MiB: less than the whole picture, decoded"


@pytest.mark.parametrize("size", [(1, 1), (1, 16), (16, 16), (3, 2)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_tiny_photos_keep_their_size(tmp_path, size, suffix):
    Image.new("RGB", size, "white").save(tmp_path / f"a.{suffix}")
    photo = read_photo(tmp_path / f"a.{suffix}")
    assert photo.size == size and np.asarray(photo).min() > 250
    assert squared(photo, "crop").size == (min(size), min(size))


def test_crop_keeps_the_middle():
    photo = Image.new("RGB", (9, 3), "black")
    photo.paste("white", (3, 0, 6, 3))
    assert np.asarray(squared(photo, "crop")).min() == 255
    assert squared(photo, "direct") is photo


@given(
    names=st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=12),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_draws_are_nested_parts_of_a_permutation_whatever_the_order_of_names(names, seed, data):
    whole = draw(names, len(names), seed, subject="s")
    assert sorted(whole) == sorted(names)
    shuffled = data.draw(st.permutations(names))
    for shots in range(len(names) + 1):
        assert draw(shuffled, shots, seed, subject="s") == whole[:shots]
