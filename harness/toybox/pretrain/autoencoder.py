"""Stage ``autoencoder``: diffusers' AutoencoderKL from 64-pixel images to 8x8 latents of 16 channels.

After training the latents are centred by folding their mean into the two convolutions around them, an exact
rewriting, because Stable Diffusion's pipelines know a scaling factor and no shift.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from harness.errors import ConfigError
from harness.toybox.pretrain import shipping
from harness.toybox.pretrain.loop import Draw, TrainingSchedule, averaged, shortened, train
from harness.toybox.pretrain.renders import Pool, as_signed

ARCHITECTURE: dict[str, Any] = {
    "block_out_channels": (16, 32, 64, 96),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 16,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 64,
    "force_upcast": False,
}
COURSE = TrainingSchedule(
    pictures=150_000, batch=16, lr=0.03, warmup=100, cooldown=0.3, average=0.998, seed=11
)
KL_WEIGHT = 1e-6
EDGE_WEIGHT, SQUARE_WEIGHT = 0.5, 2.0
WIDE_SHARE = 0.4
CENTRED_ON = 1_000  # images of the pool "named"


def build() -> Any:
    """Make the network with its initial weights."""
    torch.manual_seed(COURSE.seed)
    return AutoencoderKL(**ARCHITECTURE)


def edges(images: Tensor) -> tuple[Tensor, Tensor]:
    """Differences between neighbouring pixels of [n, c, h, w]: [n, c, h, w - 1] and [n, c, h - 1, w]."""
    return images[..., 1:] - images[..., :-1], images[..., 1:, :] - images[..., :-1, :]


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Absolute error of pixels and of edges (textures blur without them), and squared error.

    Both [n, 3, h, w]; a mean each, weighted and summed to a scalar [].
    """
    edge = sum(F.l1_loss(ours, theirs) for ours, theirs in zip(edges(output), edges(target), strict=True))
    return F.l1_loss(output, target) + EDGE_WEIGHT * edge + SQUARE_WEIGHT * F.mse_loss(output, target)


def autoencoder_loss(network: Any, images: Tensor, draw: Draw) -> Tensor:
    """Reconstruction from a sampled latent, plus the weighted divergence of its distribution from N(0, 1).

    ``images`` [n, 3, 64, 64] in [-1, 1]; a scalar [].
    """
    mean, log_variance = network.encode(images).latent_dist.parameters.float().chunk(2, dim=1)
    log_variance = log_variance.clamp(-30, 20)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=(1, 2, 3)).mean()
    latents = mean + (0.5 * log_variance).exp() * draw.normal(*mean.shape)
    output = network.decode(latents, return_dict=False)[0].float()
    return reconstruction_loss(output, images) + KL_WEIGHT * divergence


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image, of values in [-1, 1]: float32 [n]."""
    error = (output.clamp(-1, 1) - target).square().flatten(1).mean(dim=1)
    return 10 * torch.log10(4 / error.clamp_min(1e-10))


def reconstruct(network: Any, images: Tensor, *, batch: int = 50) -> Tensor:
    """Encode to the mean and decode: values in [-1, 1], [n, 3, 64, 64] to the same."""
    parts = [network.decode(network.encode(part).latent_dist.mode()).sample for part in images.split(batch)]
    return torch.cat(parts).clamp(-1, 1)


def run(*, workdir: Path, pictures: int | None = None, cooldown: float | None = None) -> None:
    """Train on named and wide looks; the curve holds the PSNR of unseen images of both."""
    fit("autoencoder", build(), shortened(COURSE, pictures, cooldown), workdir)


def fit(
    name: str, network: Any, course: TrainingSchedule, workdir: Path, *, encoder: str | None = None
) -> None:
    """Train what of ``network`` is trainable."""
    pools = Pool(workdir, "named"), Pool(workdir, "wide")
    unseen = {
        "named": as_signed(Pool(workdir, "validation").pictures(range(200))),
        "wide": as_signed(Pool(workdir, "validation_wide").pictures(range(200))),
    }
    wide = round(WIDE_SHARE * course.batch)

    def loss(network: Any, draw: Draw) -> Tensor:
        shares = course.batch - wide, wide
        parts = [
            pool.pictures(draw.numpy.integers(len(pool), size=n))
            for pool, n in zip(pools, shares, strict=True)
        ]
        return autoencoder_loss(network, as_signed(torch.cat(parts)), draw)

    def evaluate(network: Any) -> dict[str, float]:
        return {f"psnr_{name}": psnr(reconstruct(network, x), x).mean().item() for name, x in unseen.items()}

    train(
        name, network, loss=loss, evaluate=evaluate, course=course, workdir=workdir, encoder=encoder
    )  # fmt: skip


def centre_latents(network: Any, images: Tensor) -> None:
    """Make the latents of ``images`` [n, 3, 64, 64] zero-mean per channel, in place.

    The scaling factor becomes one over their spread.
    """
    latents = torch.cat([network.encode(part).latent_dist.mode() for part in images.split(50)])
    mean = latents.mean(dim=(0, 2, 3))
    network.quant_conv.bias[: len(mean)] -= mean
    network.post_quant_conv.bias += network.post_quant_conv.weight[:, :, 0, 0] @ mean
    spread = (latents - mean[:, None, None]).std()
    network.register_to_config(scaling_factor=round(1 / spread.item(), 5))


def digest(network: Any) -> str:
    """A short content hash of an autoencoder's encoder."""
    total = hashlib.sha256()
    for part in (network.encoder, network.quant_conv):
        for name, weight in part.state_dict().items():
            total.update(name.encode() + weight.numpy().tobytes())
    return total.hexdigest()[:12]


def encoder_digest(workdir: Path) -> str | None:
    """The digest of the trained encoder, before centring, whose last bits depend on the machine.

    None where the stage has not run.
    """
    if not (workdir / "autoencoder.pt").exists():
        return None
    return digest(averaged("autoencoder", build(), workdir))


@torch.no_grad()
def trained(workdir: Path) -> Any:
    """The averaged autoencoder of the working folder, centred and with its scaling factor.

    Its decoder is that of the stage ``decoder``, where that has run. Raises ConfigError if that polished an
    earlier autoencoder.
    """
    network = averaged("autoencoder", build(), workdir)
    if (path := workdir / "decoder.pt").exists():
        expected = digest(network)
        network = averaged("decoder", network, workdir)
        if digest(network) != expected:
            raise ConfigError(f"{path}: polishes an earlier autoencoder than autoencoder.pt; move it away")
    centre_latents(network, as_signed(Pool(workdir, "named").pictures(range(CENTRED_ON))))
    return network


def shipped() -> Any:
    """The autoencoder that the package ships, with its scaling factor, in float32, not to be trained."""
    network = AutoencoderKL.from_pretrained(shipping.SHIPPED / "sd" / "vae", torch_dtype=torch.float32)
    return network.requires_grad_(False).eval()


def export(*, workdir: Path, weights: Path) -> None:
    """Write ``sd/vae``."""
    trained(workdir).half().save_pretrained(weights / "sd" / "vae")


def adopt(*, workdir: Path, weights: Path) -> None:
    """Begin with ``sd/vae``."""
    network = shipping.read(build(), weights / "sd" / "vae" / shipping.DIFFUSERS_FILE)
    shipping.begin("autoencoder", network, course=COURSE, workdir=workdir)
