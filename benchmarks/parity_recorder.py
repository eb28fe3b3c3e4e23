"""Run an outside training script as it is and record it; started by ``parity.py``.

    python parity_recorder.py RECORD STEPS SCRIPT ARGUMENT …

Every forward pass of the denoiser is kept with the latents, noise and timesteps that were mixed for it, the
token ids that were read and the masks of its batch; before the first and after the last optimizer step, the
trained tensors by name. Then the script is stopped: nothing is saved, drawn or uploaded.

What is replaced, because present library versions lack it or it names a model on a hub:

* ``huggingface_hub.HfFolder`` and ``Repository``, ``transformers.CLIPFeatureExtractor``, ``clip_retrieval``:
  imported by the paper's code, not used in training; empty stand-ins.
* ``CLIPTextModel.text_model``: the model itself, which took its place; the paper's code freezes parts by it.
* ``StableDiffusionPipeline.from_pretrained`` of a name on the hub: the exported Toybox backbone.
"""

from __future__ import annotations

import gc
import os
import runpy
import sys
import types
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
import transformers
from diffusers import StableDiffusionPipeline, UNet2DConditionModel, schedulers
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data._utils.fetch import _MapDatasetFetcher


class Recorder:
    """What a script drew and trained, so far."""

    def __init__(self, target: Path, steps: int) -> None:
        self.target, self.steps, self.done = target, steps, 0
        self.mixed: tuple[torch.Tensor, ...] = ()
        self.ids: torch.Tensor | None = None
        self.drawn: list[dict[str, Any]] = []
        self.masks: list[torch.Tensor | None] = []
        self.start: dict[str, torch.Tensor] = {}

    def before_step(self, optimizer: Any, *_: Any) -> None:
        """Keep the trained tensors' start."""
        if not self.start:
            self.start = tensors(optimizer)

    def after_step(self, optimizer: Any, *_: Any) -> None:
        """Count; after the last step write the record and stop the script."""
        self.done += 1
        if self.done < self.steps:
            return
        if len(self.masks) < len(self.drawn):
            raise RuntimeError("not every batch was seen: load them in this process (0 workers)")
        drawn = [{**one, "mask": self.masks[i]} for i, one in enumerate(self.drawn)]
        torch.save({"drawn": drawn, "start": self.start, "end": tensors(optimizer)}, self.target)
        sys.stdout.flush()
        os._exit(0)


def tensors(optimizer: Any) -> dict[str, torch.Tensor]:
    """Copy what an optimizer trains, by the names that a denoiser or text encoder has for it."""
    wanted = {id(p) for group in optimizer.param_groups for p in group["params"]}
    found: dict[str, torch.Tensor] = {}
    for module in gc.get_objects():
        if isinstance(module, UNet2DConditionModel | transformers.CLIPTextModel):
            for name, parameter in module.named_parameters():
                if id(parameter) in wanted:
                    found[name] = parameter.detach().clone()
    return found


def wrap(owner: Any, name: str, before: Any) -> None:
    """Call ``before`` with the arguments of a method each time that it is called."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        before(*arguments, **named)
        return original(*arguments, **named)

    setattr(owner, name, wrapped)


def listen(recorder: Recorder) -> None:
    """Record what goes into noising, text encoder, denoiser, and out of the data loader."""

    def mixed(_self: Any, latents: Any, noise: Any, timesteps: Any) -> None:
        recorder.mixed = tuple(value.detach().clone() for value in (latents, noise, timesteps))

    def read(_self: Any, input_ids: Any = None, *_: Any, **__: Any) -> None:
        recorder.ids = input_ids.clone()

    def predicted(*_: Any, **__: Any) -> None:
        latents, noise, timesteps = recorder.mixed
        one = {"latents": latents, "noise": noise, "timesteps": timesteps, "ids": recorder.ids}
        recorder.drawn.append(one)

    for kind in (schedulers.DDPMScheduler, schedulers.PNDMScheduler, schedulers.DDIMScheduler):
        wrap(kind, "add_noise", mixed)
    wrap(transformers.CLIPTextModel, "forward", read)
    wrap(UNet2DConditionModel, "forward", predicted)
    fetch = _MapDatasetFetcher.fetch

    def fetched(self: Any, index: Any) -> Any:
        batch = fetch(self, index)
        recorder.masks.append(batch.get("mask") if isinstance(batch, dict) else None)
        return batch

    _MapDatasetFetcher.fetch = fetched
    register_optimizer_step_pre_hook(recorder.before_step)
    register_optimizer_step_post_hook(recorder.after_step)


def replace_what_is_gone() -> None:
    """Put stand-ins where the module's first lines say."""
    for owner, name in (
        (huggingface_hub, "HfFolder"),
        (huggingface_hub, "Repository"),
        (transformers, "CLIPFeatureExtractor"),
    ):
        if name not in vars(owner):  # a lazy module may claim to have what it cannot import
            setattr(sys.modules[owner.__name__], name, type(name, (nn.Module,), {}))
    if not hasattr(transformers.CLIPTextModel, "text_model"):
        transformers.CLIPTextModel.text_model = property(lambda self: self)
    for name in ("clip_retrieval", "clip_retrieval.clip_client"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules["clip_retrieval.clip_client"].ClipClient = object  # type: ignore[attr-defined]
    original = StableDiffusionPipeline.from_pretrained.__func__

    def from_pretrained(cls: Any, name: str, **named: Any) -> Any:
        return original(cls, name if Path(name).is_dir() else os.environ["PARITY_MODEL"], **named)

    StableDiffusionPipeline.from_pretrained = classmethod(from_pretrained)


def main() -> None:
    """Run the script under the recorder."""
    target, steps, script, *arguments = sys.argv[1:]
    replace_what_is_gone()
    listen(Recorder(Path(target), int(steps)))
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
