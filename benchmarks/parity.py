"""The outside training scripts beside ours: their recorded draws replayed, and how far the weights differ.

    python benchmarks/parity.py --diffusers CLONE --paper CLONE [CASE ...]

CLONE are clones of github.com/huggingface/diffusers and of github.com/rlgnswk/Preserve-and-Personalize. Each
script runs as it is, in a process of its own, on the exported Toybox backbone, for ten steps in float32; what
it drew (latents, noise, timesteps, token ids, masks) and its weights are recorded by ``parity_recorder.py``,
which lists what has to be replaced for present library versions. The draws go through our trainer, and

    ‖ours − theirs‖ / ‖theirs − start‖

over everything trained is printed for each case. A case whose clone is missing is skipped and says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness import methods
from harness.api import Lipschitz, Subject
from harness.datasets.toybox import ToyboxDataset
from harness.diffusion.backbones.loading import load_backbone
from harness.diffusion.draws import MicroBatch
from harness.diffusion.training import Trainer
from harness.toybox import loading

RECORDER = Path(__file__).with_name("parity_recorder.py")
STEPS, SUBJECT, LARGEST = 10, "candy-mug", 1e-3
LORA = {"rank": 16, "alpha": 16.0, "start": "gaussian", "lr": 1e-4, "weight_decay": 1e-2}
PAIRS = {"batch": 2, "init": "sks", "token": "<new1>", "weight_decay": 1e-2, "clip": 1.0}
COMMON = "--pretrained_model_name_or_path {model} --instance_data_dir {shots} --output_dir {out} --seed 0"
PLAIN = f"{COMMON} --resolution 64 --max_train_steps 1000 --train_batch_size 1 --lr_warmup_steps 0"
CLASSES = "--with_prior_preservation --prior_loss_weight 1.0 --class_data_dir {classes} --num_class_images 4"
# At 128 pixels a shrunk image keeps some cells of its mask; at Toybox's own 64 their division is by zero.
# No loader in other processes: their masks would not be recorded.
CUSTOM = (
    f"{COMMON} --resolution 128 --max_train_steps 1000 --train_batch_size 2 --lr_warmup_steps 0 "
    "--dataloader_num_workers 0"
)
WORD = ["--modifier_token", "<new1>", "--initializer_token", "sks"]


@dataclass(frozen=True)
class Case:
    """A script of a clone with its arguments, and the method that shall train as it does."""

    title: str
    clone: str
    script: str
    arguments: str
    method: str
    params: dict[str, Any]
    penalty: float | None = None
    further: list[str] = field(default_factory=list)

    @property
    def lipschitz(self) -> Lipschitz | None:
        """The constraint that ours trains with."""
        return None if self.penalty is None else Lipschitz(penalty=self.penalty)


SKS = ["--instance_prompt", "a photo of a sks mug"]
NEW = ["--instance_prompt", "photo of a <new1> mug"]
MUG = ["--class_prompt", "photo of a mug"]
DREAMBOOTH = {"optimizer": "adamw", "lr": 5e-6, "weight_decay": 1e-2, "clip": 1.0, "batch": 1}
CASES = {
    "dreambooth": Case(
        "DreamBooth, diffusers", "diffusers", "examples/dreambooth/train_dreambooth.py",
        f"{PLAIN} --learning_rate 5e-6 --lr_scheduler constant", "dreambooth", DREAMBOOTH, further=SKS,
    ),
    "dreambooth-prior": Case(
        "DreamBooth with prior weight 1, diffusers", "diffusers", "examples/dreambooth/train_dreambooth.py",
        f"{PLAIN} --learning_rate 5e-6 --lr_scheduler constant {CLASSES}", "dreambooth",
        {**DREAMBOOTH, "prior_weight": 1.0, "prior_count": 1}, further=[*SKS, *MUG],
    ),
    "paper-full": Case(
        "full fine-tune, λ = 500, the paper's", "paper", "SD1.5/pnp_sd15_full.py",
        "--subject_folder {shots}", "dreambooth",
        {"optimizer": "adam", "lr": 2e-6, "batch": 1}, penalty=500.0, further=["--prompt", SKS[1]],
    ),
    "lora": Case(
        "LoRA, rank 16, diffusers", "diffusers", "examples/dreambooth/train_dreambooth_lora.py",
        f"{PLAIN} --learning_rate 1e-4 --lr_scheduler constant --rank 16", "dreambooth_lora",
        {**LORA, "batch": 1, "clip": 1.0}, further=SKS,
    ),
    "textual-inversion": Case(
        "Textual Inversion, 1 vector, diffusers", "diffusers",
        "examples/textual_inversion/textual_inversion.py",
        "--pretrained_model_name_or_path {model} --train_data_dir {shots} --output_dir {out} --seed 0 "
        "--resolution 64 --max_train_steps 1000 --train_batch_size 1 --gradient_accumulation_steps 4 "
        "--learning_rate 5e-4 --scale_lr --lr_scheduler constant --learnable_property object "
        "--placeholder_token <v> --initializer_token mug",
        "textual_inversion", {"lr": 2e-3, "batch": 1, "accumulate": 4, "weight_decay": 1e-2},
    ),
    "custom-diffusion": Case(
        "Custom Diffusion, diffusers", "diffusers", "examples/custom_diffusion/train_custom_diffusion.py",
        f"{CUSTOM} --learning_rate 1e-5 --scale_lr --hflip --lr_scheduler constant", "custom_diffusion",
        {**PAIRS, "lr": 2e-5, "prior_weight": 0.0}, further=[*NEW, *WORD],
    ),
    "custom-diffusion-prior": Case(
        "Custom Diffusion with prior weight 1, diffusers", "diffusers",
        "examples/custom_diffusion/train_custom_diffusion.py",
        f"{CUSTOM} --learning_rate 1e-5 --scale_lr --hflip --lr_scheduler constant {CLASSES}",
        "custom_diffusion", {**PAIRS, "lr": 4e-5, "prior_weight": 1.0, "prior_count": 1},
        further=[*NEW, *WORD, *MUG],
    ),
    "paper-custom-diffusion": Case(
        "Custom Diffusion, λ = 175, the paper's", "paper", "SD1.5/pnp_sd15_custom_diffusion.py",
        f"{CUSTOM} --learning_rate 3e-5 --scale_lr --hflip --l2_weight 175", "custom_diffusion",
        {**PAIRS, "lr": 6e-5, "prior_weight": 0.0}, penalty=175.0, further=[*NEW, *WORD],
    ),
}  # fmt: skip


def photos(folder: Path) -> dict[str, Path]:
    """Write what the scripts read: the backbone, five photos, four others as class images, an output."""
    places = {name: folder / name for name in ("model", "shots", "classes", "out")}
    loading.export(places["model"])
    found = ToyboxDataset().photos(SUBJECT)
    for name, images in (("shots", found[:5]), ("classes", found[-4:])):
        places[name].mkdir()
        for i, image in enumerate(images):
            image.save(places[name] / f"{i}.png")
    return places


def record(case: Case, clone: Path, places: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Run a script for ten steps in a process of its own; return what it drew and trained."""
    target = folder / "record.pt"
    arguments = [word.format(**places) for word in case.arguments.split()] + case.further
    script = (clone / case.script).resolve()
    command = [sys.executable, str(RECORDER), str(target), str(STEPS), str(script), *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PARITY_MODEL": str(places["model"])}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if not target.exists():
        raise SystemExit(f"{case.script} did not come to step {STEPS}:\n{done.stderr[-3000:]}")
    recorded: dict[str, Any] = torch.load(target)
    target.unlink()
    return recorded


def ours(name: str) -> str:
    """Our name of a trained tensor: of a denoiser's weight, an adapter's factor, a table of words."""
    if "token_embedding" in name:
        return "text_encoder.new_tokens"
    name = name.replace(".processor.to_k_custom_diffusion", ".to_k")
    name = name.replace(".processor.to_v_custom_diffusion", ".to_v")
    return "denoiser." + name.replace(".default.weight", "")


def named(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Trained tensors by our names; of a table of words the last row, the new word's."""
    return {ours(name): value[-1:] if "token_embedding" in name else value for name, value in tensors.items()}


def captions(backbone: Any, ids: torch.Tensor) -> list[str]:
    """Spell token ids [n, tokens] out; AssertionError unless we would read the captions as the same ids."""
    (encoder,) = backbone.networks.text_encoders
    special = encoder.reader.all_special_ids
    words = (
        encoder.reader.convert_ids_to_tokens([i for i in row if i not in special]) for row in ids.tolist()
    )
    added = set(backbone.new_tokens)
    spelt = (("".join(f"{w} " if w in added else w for w in row)) for row in words)
    texts = [text.replace("</w>", " ").strip() for text in spelt]
    assert torch.equal(encoder.read(texts).input_ids, ids), texts
    return texts


def trained(backbone: Any) -> dict[str, torch.Tensor]:
    """Everything that was handed out, by name."""
    adaptation = backbone.adaptation
    return {**adaptation.weights.out, **adaptation._factors(), **adaptation._rows()}


def replay(case: Case, recorded: dict[str, Any], backbone: Any, shot: Any) -> float:
    """Train ours on the recorded draws from the recorded start; return the relative difference."""
    start, end = named(recorded["start"]), named(recorded["end"])

    def draws(_own: Iterator[MicroBatch]) -> Iterator[MicroBatch]:
        with torch.no_grad():
            for name, value in trained(backbone).items():
                value.copy_(start[name])
        for one in recorded["drawn"]:
            n = len(one["latents"])
            subject = n // 2 if case.params.get("prior_weight") else n
            masks = one["mask"][:subject] if one["mask"] is not None else None
            texts = captions(backbone, one["ids"].expand(n, -1))
            yield MicroBatch(one["latents"], texts, one["noise"], one["timesteps"], subject, masks)

    kind = methods.load(case.method)
    method = methods.build(kind, methods.resolve_params(kind, {**case.params, "steps": STEPS}, "tiny"))
    method.fit(
        backbone, Subject(SUBJECT, "mug", (shot,)), Trainer(seed=0, lipschitz=case.lipschitz, draws=draws)
    )
    found = {name: value.detach().clone() for name, value in trained(backbone).items()}
    backbone.restore()
    assert found.keys() == end.keys(), sorted(found.keys() ^ end.keys())[:4]
    off = sum(float((found[name] - end[name]).double().square().sum()) for name in end)
    moved = sum(float((end[name] - start[name]).double().square().sum()) for name in end)
    return (off / moved) ** 0.5


def main() -> None:
    """Print the table; exit with 1 if a row is above 1e-3."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--diffusers", type=Path)
    parser.add_argument("--paper", type=Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; none: all")
    asked = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        places = photos(folder)
        backbone = load_backbone(str(places["model"]), cache=folder / "cache")
        for name in asked.cases or CASES:
            case = CASES[name]
            clone = getattr(asked, case.clone)
            if clone is None or not (clone / case.script).exists():
                print(f"{case.title:50} skipped: no {case.script} (--{case.clone} {clone})", flush=True)
                continue
            recorded = record(case, clone, places, folder)
            difference = replay(case, recorded, backbone, ToyboxDataset().photos(SUBJECT)[0])
            worst = max(worst, difference)
            print(f"{case.title:50} {difference:.1e}", flush=True)
    sys.exit(worst > LARGEST)


if __name__ == "__main__":
    main()
