"""The attribute probe of the embedded benchmark, as the scores use it: one word per attribute and image."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from harness.metrics.encoders.pixels import Images, as_pil
from harness.specs import EncoderSpec

SIZE = 64
NOTHING = "nothing"


class AttributeProbe:
    """Reads attributes off images; see :mod:`harness.toybox.probe` for the network."""

    def __init__(self, probe: Any, *, name: str, revision: str) -> None:
        self.name, self.revision = name, revision
        self.preprocessing = f"RGB, resize (bicubic) to {SIZE}×{SIZE}"
        self.probe = probe

    def to(self, device: torch.device | str) -> AttributeProbe:
        """Stay: the network is tiny and runs on the CPU."""
        return self

    def read(self, images: Images) -> list[dict[str, str]]:
        """Read class, background, colour, accessory, pattern and, from version 2 on, shape off each image.

        Every attribute of an image on which no object is recognized reads "nothing": it follows no prompt.
        """
        fitted = [self._fit(each) for each in as_pil(images)]
        reading = self.probe.attributes(torch.stack([pil_to_tensor(each) for each in fitted]))
        columns = {"class": reading.words("category")}
        columns |= {name: reading.words(name) for name in reading.labels if name != "category"}
        rejected = reading.rejected().tolist()
        return [
            {name: NOTHING if rejected[i] else words[i] for name, words in columns.items()}
            for i in range(len(fitted))
        ]

    def _fit(self, image: Image.Image) -> Image.Image:
        return image if image.size == (SIZE, SIZE) else image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def load_probe(
    spec: EncoderSpec, *, device: torch.device | str, revision: str, version: int
) -> AttributeProbe:
    """Load a version of the probe of the embedded benchmark."""
    from harness.toybox.loading import load_probe as load_toybox

    return AttributeProbe(load_toybox(version=version), name=spec.model, revision=revision)
