"""What kinds of base models there are, and which of them a folder holds. Loads no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.diffusion.backbones.locate import PICKLES, BackboneError, find_local
from harness.errors import one_of
from harness.specs import BackboneSpec


@dataclass(frozen=True)
class Family:
    """A family of base models: diffusers' pipeline class, its networks, what may be asked of it.

    networks   folders with weights; ``others`` those without
    samplers   names that ``sampling.sampler`` may take
    options    keys of a backbone in a YAML that mean something to the family
    """

    pipeline: str
    networks: tuple[str, ...]
    others: tuple[str, ...]
    samplers: tuple[str, ...]
    options: tuple[str, ...] = ()


DISCRETE = ("ddim", "dpmsolver++", "euler", "pndm")
FAMILIES: Mapping[str, Family] = {
    "sd": Family(
        "StableDiffusionPipeline",
        networks=("unet", "vae", "text_encoder"),
        others=("tokenizer", "scheduler"),
        samplers=DISCRETE,
    ),
    "sdxl": Family(
        "StableDiffusionXLPipeline",
        networks=("unet", "vae", "text_encoder", "text_encoder_2"),
        others=("tokenizer", "tokenizer_2", "scheduler"),
        samplers=DISCRETE,
        options=("vae",),
    ),
    "sd3": Family(
        "StableDiffusion3Pipeline",
        networks=("transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
        others=("tokenizer", "tokenizer_2", "tokenizer_3", "scheduler"),
        samplers=("euler",),
        options=("text_encoder_3",),
    ),
}


def check(spec: BackboneSpec, sampler: str) -> None:
    """Refuse what can be known without loading: a wrong family, option or sampler. Raises BackboneError.

    A model that still has to be fetched is only checked as far as ``spec`` says its family.
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
            f"backbone {spec.name!r}: family {spec.family!r} was asked for, but {path} says "
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
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(path.name for end in PICKLES for path in folder.glob(end))
        found = f"only pickled weights ({', '.join(pickles)}), which are refused" if pickles else "no weights"
        raise BackboneError(f"{folder}: {found}; save them as safetensors")
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = set(json.loads(index.read_text())["weight_map"].values())
        absent = sorted(name for name in shards if not (folder / name).exists())
        if absent:
            raise BackboneError(f"{folder}: {index.name} names {absent[0]}, which is missing")


def _lora_files(folder: Path) -> list[str]:
    names = ("pytorch_lora_weights.*", "adapter_model.*", "*lora*.safetensors")
    return sorted({path.name for name in names for path in folder.glob(name)})
