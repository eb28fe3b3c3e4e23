"""What the scores see: photos, perfect answers, copies, and the subject with one thing of its looks changed.

    python benchmarks/scores_on_edits.py [--subjects 16] [--images 2] [--views 24]

The first table scores, on Toybox's test subjects with 5 shots: held-out photos, the same autoencoded,
``real_asked`` (every prompt), exact copies of the shots, and renders in new scenes of the subject itself,
then recoloured (the whole object in a named colour), re-patterned (another family) and re-shaped (every
parameter at its other end). The second is the probe on perfect answers: the share of ``real_asked``'s images
in which it reads what was asked, by kind of prompt and by attribute. The third compares distances for
copying.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from PIL.Image import Image
from torchvision.transforms.functional import to_pil_image

from harness.api import Prompt
from harness.datasets.toybox import ToyboxDataset
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.loading import load_backbone
from harness.metrics.encoders.pixels import as_pil
from harness.metrics.encoders.registry import default_encoders, load_encoder
from harness.metrics.measure import ATTRIBUTES
from harness.metrics.scorer import Scorer
from harness.metrics.scorer_inputs import Encoders, ScorerInputs, SubjectPhotos
from harness.metrics.scores import copying
from harness.metrics.scores.averages import mean
from harness.specs import BackboneSpec
from harness.toybox.requested import another_photo, recoloured
from harness.toybox.scenes.patterns import HELDOUT_PATTERNS
from harness.toybox.scenes.render import render
from harness.toybox.scenes.world import Scene
from harness.toybox.subjects import subjects
from harness.trial.data import subject_photos

SCORES = (
    "dino_heldout",
    "clip_i_heldout",
    "subject_pattern",
    "subject_shape",
    "prompt_accuracy",
    "clip_t",
    "copying",
)
SHOTS = 5

Table = dict[str, dict[str, list[float]]]
"""Row → column → a number for each subject or image."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("subjects", 16), ("images", 2), ("views", 24)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset, backbone = ToyboxDataset(), load_backbone("toybox")
    specs = default_encoders(BackboneSpec(name="toybox"))
    encoders = Encoders({k: load_encoder(spec, device="cpu", kind=k) for k, spec in specs.items()})
    edits: Table = {}
    probe: Table = {}
    distances: Table = {}
    for name in dataset.subjects("test")[: options.subjects]:
        photos = subject_photos(dataset, name, shots=SHOTS, seed=0)
        asked = answers(dataset, name, options.images)
        shown = cases(name, photos, asked, backbone, options.views)
        for case, inputs in shown.items():
            gather(edits, case, Scorer(inputs, encoders).scores(SCORES).values)
            gather(distances, case, by_distance(inputs, backbone))
        read_back(probe, asked[0], asked[1], encoders)
    show("Scores (means over subjects)", edits)
    show("The probe on perfect answers (share of images)", probe)
    show("Copying by distance (share of images)", distances)


def answers(dataset: ToyboxDataset, name: str, images: int) -> tuple[list[Prompt], list[Image]]:
    """Render the subject as each of its prompts asks, ``images`` times; give each one's prompt and image."""
    prompts = [prompt for prompt in dataset.prompts(name) for _ in range(images)]
    return prompts, dataset.as_asked(name, prompts, range(len(prompts)))


def cases(
    name: str,
    photos: SubjectPhotos,
    asked: tuple[list[Prompt], list[Image]],
    backbone: Backbone,
    views: int,
) -> dict[str, ScorerInputs]:
    """Give what is scored of one subject, by the name of its row."""
    (toy,) = [each for each in subjects() if each.name == name]
    rng = np.random.default_rng(0)
    scenes = [another_photo(toy.look, rng) for _ in range(views)]
    held_out = [photos.photos[number] for number in photos.references]
    in_place_of_samples = partial(ScorerInputs, subject=photos)
    prompts, images = asked
    return {
        "real": in_place_of_samples(held_out, photo_of=photos.references),
        "real_ae": in_place_of_samples(autoencoded(held_out, backbone), photo_of=photos.references),
        "real_asked": in_place_of_samples(
            images,
            prompt_of=range(len(prompts)),
            texts=[prompt.text(toy.category) for prompt in prompts],
            requested=[prompt.attributes for prompt in prompts],
            kinds=[prompt.kind for prompt in prompts],
        ),
        "exact copy of a shot": unprompted(photos, [photos.photos[number] for number in photos.shots]),
        **{row: unprompted(photos, drawn(map(edit, scenes))) for row, edit in EDITS.items()},
    }


def unprompted(photos: SubjectPhotos, images: Sequence[Image]) -> ScorerInputs:
    """Score images that follow no prompt and are none of the photos held out."""
    return ScorerInputs(images, photos, photo_of=[-1] * len(images))


def another_pattern(scene: Scene) -> Scene:
    """Take the next of the families without a name."""
    place = (HELDOUT_PATTERNS.index(scene.pattern) + 1) % len(HELDOUT_PATTERNS)
    return replace(scene, pattern=HELDOUT_PATTERNS[place])


def another_shape(scene: Scene) -> Scene:
    """Mirror every parameter of the shape in the middle of its range."""
    return replace(scene, shape=tuple(round(1 - value, 4) for value in scene.shape))


def another_colour(scene: Scene) -> Scene:
    """Make the whole object orange."""
    return recoloured(scene, "orange")


EDITS: dict[str, Callable[[Scene], Scene]] = {
    "render in a new scene": lambda scene: scene,
    "recoloured": another_colour,
    "re-patterned": another_pattern,
    "re-shaped": another_shape,
}


def drawn(scenes: Sequence[Scene] | map[Scene]) -> list[Image]:
    """Render scenes."""
    return [to_pil_image(each) for each in render(list(scenes))]


def autoencoded(images: Sequence[Image], backbone: Backbone) -> list[Image]:
    """Encode and decode images."""
    return as_pil(backbone.decode(backbone.latents(images).mean))


def by_distance(inputs: ScorerInputs, backbone: Backbone) -> dict[str, float]:
    """Compute copying by pixels and by the autoencoder's latents."""
    subject = inputs.subject
    shots = [subject.photos[number] for number in subject.shots]
    spaces: dict[str, Callable[[Sequence[Image]], np.ndarray]] = {
        f"pixels {copying.SIDE}×{copying.SIDE}": copying.thumbnails,
        "latents": lambda images: backbone.latents(images).mean.flatten(1).double().numpy(),
    }
    return {
        space: float(copying.copies(of(inputs.images), of(shots), of(subject.elsewhere)).mean())
        for space, of in spaces.items()
    }


def read_back(table: Table, prompts: Sequence[Prompt], images: Sequence[Image], encoders: Encoders) -> None:
    """Add whether the probe reads what was asked of each image: by kind of prompt, and by attribute."""
    for prompt, reading in zip(prompts, encoders.readings(images), strict=True):
        asked = {name: prompt.attributes[name] for name in ATTRIBUTES if name in prompt.attributes}
        right = {name: float(reading[name] == value) for name, value in asked.items()}
        whole = {"all of it": min(right.values()), "prompt accuracy": sum(right.values()) / len(right)}
        for kind in (prompt.kind, "every prompt"):
            gather(table, kind, {**whole, **right})


def gather(table: Table, row: str, values: dict[str, float | None] | dict[str, float]) -> None:
    """Add numbers to a row; empty ones are left out."""
    for column, value in values.items():
        if value is not None:
            table.setdefault(row, {}).setdefault(column, []).append(value)


def show(title: str, table: Table) -> None:
    """Print a table in Markdown."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    print(f"\n{title}\n\n| | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for row, values in table.items():
        cells = [f"{mean(values[column]):.3f}" if column in values else "–" for column in columns]
        print(f"| {row} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
