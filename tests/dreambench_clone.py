"""A clone of DreamBench in small: its subjects and its file of prompts, photos of 8×6 pixels."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from harness.datasets.dreambench import FOUR, SIX

NOUNS = dict.fromkeys((*SIX, *FOUR, *(f"thing{i}" for i in range(17))), "toy") | {
    "dog2": "dog",
    "cat": "cat",
    "shiny_sneaker": "stuffed animal",
}
FORMAT = ".format(unique_token, class_token)"


def listing(nouns=NOUNS, first="'a {0} {1} in the snow'" + FORMAT):
    rows = "\n".join(f"{name},{noun}" for name, noun in nouns.items())
    red = "'a red {0} {1}'" + FORMAT
    hat = "'a {0} {1} wearing a red hat'" + FORMAT
    snow = "'a {0} {1} in the snow'" + FORMAT
    return (
        f"Classes\n\nsubject_name,class\n{rows}\n\nPrompts\n\nObject Prompts\n\nprompt_list = [\n{first},\n"
        f"{red}\n]\n\nLive Subject Prompts\n\nprompt_list = [\n{snow},\n{hat},\n{red}\n]\n"
    )


def write_clone(folder: Path) -> Path:
    """Write the clone, with as many photos as there are of each subject."""
    for name in NOUNS:
        photos = folder / "dataset" / name
        photos.mkdir(parents=True)
        for number in range(6 if name in SIX else 4 if name in FOUR else 5):
            Image.new("RGB", (8, 6), (number * 20, 90, 0)).save(photos / f"{number:02d}.jpg")
    (folder / "dataset" / "prompts_and_classes.txt").write_text(listing())
    return folder
