"""What each method's training computes, written again with diffusers' networks and plain torch.

Nothing here comes from the harness but the micro-batches that it is given: latents, captions, masks, noise
and timesteps. Optimizers are torch's loops over single tensors; adapters are hooks; a new word is a row of
the whole embedding table, as in the published scripts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import Tensor, nn
from torch.nn import functional as F

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def sharpen(autoencoder: Any) -> None:
    """Take the spread out of an autoencoder's posterior, so that a latent tells which image it is of."""
    last = autoencoder.quant_conv or autoencoder.encoder.conv_out
    with torch.no_grad():
        last.weight[4:] = 0.0
        last.bias[4:] = -30.0


@dataclass
class Reference:
    """A base model as diffusers loads it; ``family`` is sd, sdxl or sd3.

    rows    text encoder's name → (its whole table, ids of the new words)
    stand_in  new word → the word that a T5 reads in its place
    """

    pipeline: Any
    family: str
    rows: dict[str, tuple[nn.Parameter, list[int]]] = field(default_factory=dict)
    stand_in: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Any, family: str) -> Reference:
        """Read a pipeline's folder. CLIP ends at its end of text, whatever an old configuration says."""
        pipeline = DiffusionPipeline.from_pretrained(folder)
        sharpen(pipeline.vae)
        if hasattr(pipeline, "maybe_convert_prompt"):  # it would spell "<v>" out as "<v> <v>_1 …" once more
            pipeline.maybe_convert_prompt = lambda prompt, tokenizer: prompt
        for name in ("text_encoder", "text_encoder_2"):
            encoder = getattr(pipeline, name, None)
            if encoder is not None:
                encoder.config.eos_token_id = 49407
                for module in encoder.modules():
                    if hasattr(module, "eos_token_id"):
                        module.eos_token_id = 49407
        for network in pipeline.components.values():
            if isinstance(network, nn.Module):
                network.requires_grad_(False).eval()
        return cls(pipeline, family)

    def fresh(self) -> Reference:
        """The same base model, sharing nothing that training changes."""
        pipeline = copy.copy(self.pipeline)
        name = "transformer" if self.family == "sd3" else "unet"
        setattr(pipeline, name, copy.deepcopy(getattr(pipeline, name)))
        return Reference(pipeline, self.family)

    @property
    def denoiser(self) -> Any:
        """The U-Net, or SD 3's transformer."""
        return self.pipeline.transformer if self.family == "sd3" else self.pipeline.unet

    def latents(self, images: Sequence[Any]) -> Tensor:
        """Encode images of any size to z_0, each by itself: resized straight to 32 pixels, bicubic."""
        config = self.pipeline.vae.config
        shift = config.shift_factor or 0.0
        with torch.no_grad():
            found = []
            for image in images:
                pixels = self.pipeline.image_processor.pil_to_numpy(image.resize((32, 32), 3))
                pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2) * 2 - 1
                found.append(self.pipeline.vae.encode(pixels).latent_dist.mode())
            return (torch.cat(found) - shift) * config.scaling_factor

    def add_word(self, word: str, init: str) -> None:
        """Teach every CLIP text encoder a word that starts as ``init``, by growing its table."""
        for suffix in ("", "_2"):
            if getattr(self.pipeline, f"text_encoder{suffix}", None) is None:
                continue
            encoder, tokenizer = (
                copy.deepcopy(getattr(self.pipeline, f"{part}{suffix}"))
                for part in ("text_encoder", "tokenizer")
            )
            setattr(self.pipeline, f"text_encoder{suffix}", encoder)
            setattr(self.pipeline, f"tokenizer{suffix}", tokenizer)
            vocabulary = tokenizer.get_vocab()
            start = vocabulary.get(f"{init}</w>", vocabulary.get(init))
            tokenizer.add_tokens([word])
            old = encoder.get_input_embeddings().weight.detach()
            table = nn.Embedding.from_pretrained(torch.cat([old, old[start : start + 1]]), freeze=False)
            encoder.set_input_embeddings(table)
            ids = self.rows.get(f"text_encoder{suffix}", (None, []))[1]
            self.rows[f"text_encoder{suffix}"] = (table.weight, [*ids, len(old)])
        self.stand_in[word] = init

    def conditioning(self, captions: Sequence[str]) -> tuple[Tensor, Tensor | None]:
        """Hidden states and, for SDXL and SD 3, the pooled text."""
        prompts = list(captions)
        if self.family == "sd":
            tokenizer = self.pipeline.tokenizer
            ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
            return self.pipeline.text_encoder(ids.input_ids)[0], None
        asked: dict[str, Any] = {"do_classifier_free_guidance": False, "device": torch.device("cpu")}
        if self.family == "sdxl":
            sequence, _, pooled, _ = self.pipeline.encode_prompt(prompts, **asked)
            return sequence, pooled
        plain = list(prompts)
        for word in sorted(self.stand_in, key=len, reverse=True):
            plain = [prompt.replace(word, self.stand_in[word]) for prompt in plain]
        sequence, _, pooled, _ = self.pipeline.encode_prompt(prompts, prompts, plain, **asked)
        return sequence, pooled

    def predicted(self, drawn: Any) -> Tensor:
        """What the denoiser says of a micro-batch [n, c, h, w]."""
        z, noise, t = drawn.latents, drawn.noise, drawn.timesteps
        sequence, pooled = self.conditioning(drawn.captions)
        if self.family == "sd3":
            sigma = t.view(-1, 1, 1, 1) / 1000
            return self.denoiser(
                hidden_states=(1 - sigma) * z + sigma * noise,
                timestep=t,
                encoder_hidden_states=sequence,
                pooled_projections=pooled,
            ).sample
        schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        sizes = torch.tensor([[32.0, 32, 0, 0, 32, 32]]).repeat(len(z), 1)
        added = {"text_embeds": pooled, "time_ids": sizes} if pooled is not None else None
        return self.denoiser(schedule.add_noise(z, noise, t), t, sequence, added_cond_kwargs=added).sample

    def target(self, drawn: Any) -> Tensor:
        """What it should say [n, c, h, w]: the noise, or a velocity."""
        z, noise, t = drawn.latents, drawn.noise, drawn.timesteps
        if self.family == "sd3":
            return noise - z
        schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
        velocity = schedule.config.prediction_type == "v_prediction"
        return schedule.get_velocity(z, noise, t) if velocity else noise

    def squares(self, drawn: Any, kept: Reference | None = None) -> Tensor:
        """(target − prediction)² of a micro-batch [n, c, h, w]; beside the subject what ``kept`` says."""
        target = self.target(drawn)
        if kept is not None:
            with torch.no_grad():
                target = torch.cat([target[: drawn.subject], kept.predicted(drawn)[drawn.subject :]])
        return (self.predicted(drawn) - target) ** 2


def adapt(
    denoiser: Any,
    targets: Sequence[str],
    *,
    alpha: float,
    starts: dict[str, Tensor],
    gate: Callable[[], Tensor] | None = None,
) -> dict[str, Any]:
    """Let linear layers compute W·x + alpha/rank·B·A·x, A from ``starts``, B zero. Returns name → (A, B).

    ``gate`` gives what A·x is multiplied with at the time.
    """
    factors = {}
    for name, module in denoiser.named_modules():
        if isinstance(module, nn.Linear) and name.endswith(tuple(f".{target}" for target in targets)):
            down = nn.Parameter(starts[name].clone())
            up = nn.Parameter(torch.zeros(module.out_features, len(down)))
            factors[name] = (down, up)

            def changed(_, inputs, output, down=down, up=up):
                made = inputs[0] @ down.T
                made = made if gate is None else made * gate()
                return output + alpha / len(down) * (made @ up.T)

            module.register_forward_hook(changed)
    return factors


class HeldStart:
    """Attention by its formula, softmax(q·kᵀ/√d)·v, where the first token's key and value teach nothing."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        """Attend from the image [n, cells, width] to the text [n, tokens, width]."""
        q, k, v = attn.to_q(hidden_states), *(to(encoder_hidden_states) for to in (attn.to_k, attn.to_v))
        k, v = (torch.cat([one.data[:, :1], one[:, 1:]], 1) for one in (k, v))
        q, k, v = (one.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for one in (q, k, v))
        found = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, -1) @ v
        return attn.to_out[0](found.transpose(1, 2).flatten(-2))


def hold_start_token(denoiser: Any) -> None:
    """Give every cross-attention of a U-Net :class:`HeldStart`."""
    for name, module in denoiser.named_modules():
        if name.endswith("attn2"):
            module.set_processor(HeldStart())


def mean_square(squares: Tensor, drawn: Any) -> Tensor:
    """The subject's share of the loss: the mean over everything."""
    return squares[: drawn.subject].mean()


def square_by_area(squares: Tensor, drawn: Any) -> Tensor:
    """Each image's sum over channels and mask, divided by the number of the mask's cells; then the mean."""
    total = torch.zeros(())
    for i in range(drawn.subject):
        mask = torch.ones(squares.shape[2:]) if drawn.masks is None else drawn.masks[i, 0]
        total = total + sum((channel * mask).sum() for channel in squares[i]) / mask.sum()
    return total / drawn.subject


def train(
    reference: Reference,
    trained: Iterable[nn.Parameter],
    batches: Sequence[Any],
    *,
    optimizer: str,
    lr: float,
    weight_decay: float = 0.0,
    clip: float | None = None,
    accumulate: int = 1,
    prior_weight: float = 0.0,
    penalty: float = 0.0,
    penalty_form: str = "tensor_mean",
    decoupled: bool = False,
    precondition: bool = False,
    loss_of: Any = mean_square,
    kept: Reference | None = None,
) -> list[float]:
    """Train in place, one step for every ``accumulate`` micro-batches; return the losses without penalty."""
    tables = {id(table): (table, ids) for table, ids in reference.rows.values()}
    trained = [*trained, *(table for table, _ in tables.values())]
    starts = [parameter.detach().clone() for parameter in trained]
    for parameter in trained:
        parameter.requires_grad_(True)
    update = OPTIMIZERS[optimizer](
        trained, lr=lr, weight_decay=weight_decay, betas=(0.9, 0.999), eps=1e-8, foreach=False, fused=False
    )
    losses = []
    for first in range(0, len(batches), accumulate):
        update.zero_grad()
        total = 0.0
        for drawn in batches[first : first + accumulate]:
            squares = reference.squares(drawn, kept)
            if precondition:  # z_0 = z_t − σ·v
                squares = squares * (drawn.timesteps.view(-1, 1, 1, 1) / 1000) ** 2
            loss = loss_of(squares, drawn)
            if prior_weight:
                loss = loss + prior_weight * squares[drawn.subject :].mean()
            (loss / accumulate).backward()
            total += float(loss.detach()) / accumulate
        losses.append(total)
        for table, ids in tables.values():
            others = torch.ones(len(table), dtype=torch.bool)
            others[ids] = False
            table.grad[others] = 0.0
        if penalty and decoupled:
            with torch.no_grad():
                for parameter, start in zip(trained, starts):
                    parameter -= lr * 2 * penalty / parameter.numel() * (parameter - start)
        elif penalty:
            zero = penalty_form == "sum"
            form = (lambda p, q: (p**2).sum()) if zero else F.mse_loss
            (penalty * sum(form(p, q) for p, q in zip(trained, starts))).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(trained, clip, foreach=False)
        update.step()
        for parameter, start in zip(trained, starts):
            if id(parameter) in tables:  # no word but the new ones may move
                others = torch.ones(len(parameter), dtype=torch.bool)
                others[tables[id(parameter)][1]] = False
                parameter.data[others] = start[others]
    return losses
