"""What can be refused of a base model without loading it: another family, options, files. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.backbones.locate import PICKLES, find_local
from harness.errors import BackboneError, one_of
from harness.specs import BackboneSpec

TIMESTEPS = "num_train_timesteps"


def check(spec: BackboneSpec, sampler: str, steps: int = 1) -> None:
    """Refuse what can be known without loading: family, option, sampler, steps. Raises BackboneError.

    A model that still has to be downloaded is only checked as far as ``spec`` says its family.
    """
    folder = find_local(spec)
    family = spec.family if folder is None else family_of(spec, folder)[0]
    if family is None:
        return
    check_spec(spec, family)
    if sampler not in FAMILIES[family].samplers:
        raise BackboneError(
            f"backbone {spec.name!r} ({family}): {one_of(sampler, FAMILIES[family].samplers, noun='sampler')}"
        )
    if folder is not None:
        _check_steps(spec, folder, steps)
        for part in FAMILIES[family].networks:
            _refuse_pickles(folder / part)


def _check_steps(spec: BackboneSpec, folder: Path, steps: int) -> None:
    """Refuse to sample in more steps than the model learnt noise levels."""
    try:
        there = int(json.loads((folder / "scheduler" / "scheduler_config.json").read_text())[TIMESTEPS])
    except (OSError, ValueError, KeyError, TypeError):
        return  # what is missing or damaged is told where it is loaded
    if steps > there:
        raise BackboneError(f"sampling.steps: {steps}: backbone {spec.name!r} has {there} timesteps")


def resolution_here(spec: BackboneSpec) -> int | None:
    """Read the side of a base model's images in pixels off its folder; None where it does not say."""
    try:
        folder = find_local(spec)
        if folder is None:
            return None
        denoiser = FAMILIES[family_of(spec, folder)[0]].denoiser
        side = int(json.loads((folder / denoiser / "config.json").read_text())["sample_size"])
        stages = json.loads((folder / "vae" / "config.json").read_text())["block_out_channels"]
    except (BackboneError, OSError, ValueError, KeyError, TypeError):
        return None
    return side * 2 ** (len(stages) - 1)


def family_here(spec: BackboneSpec) -> str | None:
    """Read a base model's family off its folder; as declared where it does not say, None for neither."""
    try:
        folder = find_local(spec)
        return spec.family if folder is None else family_of(spec, folder)[0]
    except BackboneError:
        return spec.family


def _refuse_pickles(folder: Path) -> None:
    """Refuse a network's folder whose weights are pickles only."""
    pickles = sorted(path.name for end in PICKLES for path in folder.glob(end))
    if pickles and not list(folder.glob("*.safetensors")):
        raise BackboneError(
            f"{folder}: only pickled weights ({', '.join(pickles)}), which are refused; "
            "save them as safetensors"
        )


def family_of(spec: BackboneSpec, folder: Path) -> tuple[str, Mapping[str, Any]]:
    """The family of a folder, as its ``model_index.json`` says, and that file's content.

    Raises BackboneError: no pipeline, one that is not known, or of another family than ``spec`` declares.
    """
    path = folder / "model_index.json"
    if not path.exists() and (lora := _lora_files(folder)):
        raise BackboneError(
            f"backbone {spec.name!r}: {folder} holds LoRA weights ({lora[0]}), which change a base model and "
            "are none; name the base model's folder"
        )
    try:
        index = json.loads(path.read_text())
        pipeline = index["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackboneError(
            f"backbone {spec.name!r}: {path} is missing or damaged; not a diffusers folder"
        ) from error
    families = {family.pipeline: name for name, family in FAMILIES.items()}
    if pipeline not in families:
        raise BackboneError(f"backbone {spec.name!r}: {one_of(pipeline, families, noun='pipeline')}")
    if spec.family not in (None, families[pipeline]):
        raise BackboneError(
            f"backbone {spec.name!r}: family {spec.family!r} was requested, but {path} says "
            f"{families[pipeline]!r} ({pipeline})"
        )
    return families[pipeline], index


def check_spec(spec: BackboneSpec, family: str) -> None:
    """Refuse an unknown family, and options that it does not have. Raises BackboneError."""
    if family not in FAMILIES:
        raise BackboneError(f"backbone {spec.name!r}: {one_of(family, FAMILIES, noun='family')}")
    options = FAMILIES[family].options
    for option in spec.options:
        if option not in options:
            known = f"it has {', '.join(options)}" if options else "it has none"
            raise BackboneError(
                f"backbone {spec.name!r}: the family {family!r} has no option {option!r}; {known}"
            )


def check_parts(spec: BackboneSpec, folder: Path, networks: tuple[str, ...], others: tuple[str, ...]) -> None:
    """Refuse a pipeline folder that is not whole, or not in safetensors throughout. Raises BackboneError."""
    missing = [part for part in (*networks, *others) if not (folder / part).is_dir()]
    if missing:
        raise BackboneError(
            f"backbone {spec.name!r}: {folder} lacks {', '.join(missing)}; give the whole pipeline's folder"
        )
    for part in networks:
        check_weights(folder / part)


def check_weights(folder: Path) -> None:
    """Refuse a network's folder without weights in safetensors, or with a part missing."""
    _refuse_pickles(folder)
    if not list(folder.glob("*.safetensors")):
        raise BackboneError(f"{folder}: no weights; save them as safetensors")
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = set(json.loads(index.read_text())["weight_map"].values())
        absent = sorted(name for name in shards if not (folder / name).exists())
        if absent:
            raise BackboneError(f"{folder}: {index.name} names {absent[0]}, which is missing")


def _lora_files(folder: Path) -> list[str]:
    names = ("pytorch_lora_weights.*", "adapter_model.*", "*lora*.safetensors")
    return sorted({path.name for name in names for path in folder.glob(name)})
