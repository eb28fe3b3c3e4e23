"""LPIPS, a learned distance between two images (Zhang et al. 2018, arXiv 1801.03924), on AlexNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from harness.metrics.encoders.base import EncoderError
from harness.metrics.encoders.pixels import Images, as_pil, as_uint8
from harness.metrics.encoders.weights import load_into, read_tensors
from harness.specs import EncoderSpec

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
SLICES = ((0, 2), (2, 5), (5, 8), (8, 10), (10, 12))


class AlexFeatures(nn.Module):
    """AlexNet's convolutions in five slices, each ending in a ReLU; named as in the authors' checkpoint."""

    def __init__(self) -> None:
        from torchvision.models import alexnet

        super().__init__()
        layers = alexnet(weights=None).features
        for number, (start, stop) in enumerate(SLICES, start=1):
            self.add_module(f"slice{number}", nn.Sequential())
            for index in range(start, stop):
                layer = layers[index]
                if isinstance(layer, nn.ReLU):
                    layer.inplace = False  # the slice before it is still needed
                self.get_submodule(f"slice{number}").add_module(str(index), layer)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return five feature maps [n, c, h, w] of [n, 3, H, W], each of unit length over channels."""
        maps = []
        for number in range(1, len(SLICES) + 1):
            pixels = self.get_submodule(f"slice{number}")(pixels)
            maps.append(pixels / (pixels.square().sum(dim=1, keepdim=True) + 1e-8).sqrt())
        return maps


class PerceptualDistance:
    """LPIPS between all pairs of a few images; lower = more alike, 0 for equal images."""

    def __init__(self, spec: EncoderSpec, *, device: torch.device | str, revision: str) -> None:
        self.name, self.revision = spec.model, revision
        self.preprocessing = "RGB scaled to −1..1, at the pictures' own size"
        tensors = read_tensors(spec)
        self.features = AlexFeatures()
        load_into(self.features, {k[4:]: v for k, v in tensors.items() if k.startswith("net.")}, spec)
        try:
            self.weights = [tensors[f"lin{layer}.model.1.weight"].flatten() for layer in range(len(SLICES))]
        except KeyError as error:
            raise EncoderError(f"encoder {spec.model!r}: {spec.checkpoint} lacks {error.args[0]}") from None
        self.features.eval().requires_grad_(False)
        self.to(device)

    def to(self, device: torch.device | str) -> PerceptualDistance:
        """Move the network, in place."""
        self.device = torch.device(device)
        self.features.to(self.device)
        self.weights = [weight.to(self.device) for weight in self.weights]
        return self

    def pairwise(self, images: Images) -> Tensor:
        """Distance of every pair of images of one size, at least 64 pixels wide: float32 [n, n], CPU."""
        if not isinstance(images, Tensor):
            images = torch.stack([pil_to_tensor(each) for each in as_pil(images)])
        pixels = as_uint8(images).to(self.device, torch.float32) / 127.5 - 1
        shift, scale = (torch.tensor(v, device=self.device).view(1, 3, 1, 1) for v in (SHIFT, SCALE))
        with torch.inference_mode():
            maps = self.features((pixels - shift) / scale)
            return torch.stack([self._to_all(maps, index) for index in range(len(pixels))]).cpu().clone()

    def _to_all(self, maps: list[Tensor], index: int) -> Tensor:
        """d(x, x0) = Σ_l mean_hw Σ_c w_lc (ŷ_l − ŷ0_l)²: arXiv 1801.03924, eq. 1."""
        total = torch.zeros(len(maps[0]), device=self.device)
        for layer, weight in zip(maps, self.weights):
            difference = (layer - layer[index : index + 1]).square()
            total += (difference * weight.view(1, -1, 1, 1)).sum(dim=1).mean(dim=(1, 2))
        return total


def load_lpips(spec: EncoderSpec, *, device: torch.device | str, revision: str) -> PerceptualDistance:
    """Load LPIPS from a safetensors file of ``lpips.LPIPS(net="alex")``'s weights; else EncoderError."""
    if spec.model != "lpips-alex":
        raise EncoderError(f"unknown LPIPS {spec.model!r}; known: lpips-alex")
    if spec.checkpoint is None:
        raise EncoderError("encoder 'lpips-alex' needs a local safetensors file as 'checkpoint'")
    return PerceptualDistance(spec, device=device, revision=revision)
