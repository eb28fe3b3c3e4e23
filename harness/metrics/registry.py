"""What can be measured: one entry per score and drift measure, with its unit, direction, version and encoder.

Names only, no computing: the functions live in ``harness.metrics.scores``. Imports neither torch nor
pandas, so that the configuration, the keys and the tables may read it. Raise ``version`` when a number would
come out differently: saved pictures are then scored again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EncoderKind = Literal["clip", "dino", "probe", "lpips"]
Direction = Literal["higher", "lower"]

GROUPS = ("class", "other", "empty")
"""Groups of prior prompts: of the subject's class, of other classes, and the empty prompt."""

ATTRIBUTES = ("class", "background", "colour", "accessory")
"""Attributes that the probe reads off a Toybox picture."""


@dataclass(frozen=True)
class Measure:
    """One score (of the pictures asked for) or drift measure (of the distance from the base model).

    ``direction`` None: neither end is better by itself. ``encoder`` names the kind of encoder that it needs.
    ``stage`` says when it is computed: ``sample`` needs the tuned weights, ``score`` saved pictures only.
    """

    name: str
    title: str
    unit: str
    direction: Direction | None
    version: int
    encoder: EncoderKind | None
    kind: Literal["score", "drift"]
    stage: Literal["sample", "score"]
    description: str


def _score(
    name: str, title: str, unit: str, direction: Direction | None, encoder: EncoderKind, description: str
) -> Measure:
    return Measure(name, title, unit, direction, 1, encoder, "score", "score", description)


def _scores() -> list[Measure]:
    accuracy = "share of pictures in which the attribute probe reads what the prompt asked for"
    return [
        _score("clip_i", "CLIP-I", "cosine", "higher", "clip",
               "Mean cosine over the full matrix generated × real photos of the subject, CLIP image features "
               "(DreamBooth, arXiv 2208.12242, §4.2)."),
        _score("dino", "DINO", "cosine", "higher", "dino",
               "Mean cosine over the full matrix generated × real photos of the subject, DINO class token "
               "(DreamBooth, arXiv 2208.12242, §4.2)."),
        _score("clip_t", "CLIP-T", "cosine", "higher", "clip",
               "Mean raw cosine of picture and prompt, the class noun in the subject's place by default "
               "(DreamBooth, arXiv 2208.12242, §4.2)."),
        _score("clip_i_heldout", "CLIP-I held out", "cosine", "higher", "clip",
               "CLIP-I against photos that no method trains on; empty where every photo is a shot."),
        _score("dino_heldout", "DINO held out", "cosine", "higher", "dino",
               "DINO against photos that no method trains on; empty where every photo is a shot."),
        _score("pres", "PRES", "cosine", "lower", "dino",
               "Mean pairwise DINO similarity of the tuned model's pictures of the plain class and the "
               "subject's photos: high when the class has become the subject (DreamBooth, arXiv 2208.12242, "
               "§4.3)."),
        _score("div", "DIV", "LPIPS", "higher", "lpips",
               "Mean LPIPS between pictures of one subject and prompt (DreamBooth, arXiv 2208.12242, §4.3); "
               "needs two pictures per prompt."),
        _score("div_dino", "DIV (DINO)", "1 − cosine", "higher", "dino",
               "Mean 1 − cosine of DINO features between pictures of one subject and prompt: DIV without "
               "LPIPS weights; needs two pictures per prompt."),
        _score("copying", "Copying", "cosine", None, "dino",
               "Mean over pictures of the largest DINO similarity to a training shot, less the same for real "
               "photos that are no shots (each shot against the others, where every photo is one): above 0, "
               "pictures repeat a shot more closely than the subject's photos resemble each other, and far "
               "below it they do not show the subject: neither end is better by itself."),
        _score("prompt_accuracy", "Prompt accuracy", "share", "higher", "probe",
               f"Mean over the attributes that a prompt asks for: {accuracy} (Toybox only)."),
        *(
            _score(f"prompt_accuracy_{name}", f"Prompt accuracy: {name}", "share", "higher", "probe",
                   f"For the attribute {name}: {accuracy} (Toybox only).")
            for name in ATTRIBUTES
        ),
    ]  # fmt: skip


def _weights_and_noise() -> list[Measure]:
    def measure(name: str, title: str, unit: str, direction: Direction | None, description: str) -> Measure:
        return Measure(name, title, unit, direction, 1, None, "drift", "sample", description)

    probe = "64 prior prompts × 8 stratified timesteps, fixed noises, on the base model's own samples"
    return [
        measure("weight_l2", "‖Δθ‖₂", "L2", "lower",
                "L2 norm of the change of the denoiser's weights; of the effective change B·A for low-rank "
                "adapters; 0 for a method that leaves the denoiser alone."),
        measure("weight_tensor_mean", "Σ mean Δθ²", "mean square", "lower",
                "Sum over the denoiser's tensors of their mean squared change (arXiv 2505.19519, released "
                "code)."),
        measure("token_l2", "‖Δtoken‖₂", "L2", None,
                "L2 norm of the change of the trained token rows from their first values; empty where no "
                "token is trained."),
        measure("noise_l2", "‖Δε‖₂", "L2", "lower",
                f"Mean over {probe}, of ‖ε_θ − ε_θ0‖₂ per sample, conditional branch."),
        *(
            measure(f"noise_l2_{group}", f"‖Δε‖₂, {group} prompts", "L2", "lower",
                    f"noise_l2 over the prior prompts of the group {group!r} alone.")
            for group in GROUPS
        ),
        measure("noise_mse", "MSE Δε", "mean square", "lower",
                f"Mean over {probe}, of the mean squared change of the noise prediction."),
        measure("lipschitz_ratio", "‖Δε‖₂ / ‖Δθ‖₂", "ratio", None,
                "noise_l2 / weight_l2, an empirical Lipschitz constant of the denoiser in its weights "
                "(arXiv 2505.19519, Theorem 2); empty where Δθ = 0."),
    ]  # fmt: skip


def _prior_pictures() -> list[Measure]:
    def measure(
        name: str,
        title: str,
        unit: str,
        direction: Direction | None,
        encoder: EncoderKind,
        description: str,
        version: int = 1,
    ) -> Measure:
        return Measure(name, title, unit, direction, version, encoder, "drift", "score", description)

    measures = []
    for group in ("", *GROUPS):
        suffix, title, among = (
            (f"_{group}", f", {group} prompts", f" ({group} prompts)") if group else ("", "", "")
        )
        measures += [
            measure(f"image_drift{suffix}", f"Image drift{title}", "1 − cosine", "lower", "dino",
                    f"Mean 1 − cosine of DINO features of the base and the tuned model's pictures of the "
                    f"same prior prompt and seed{among}."),
            measure(f"kid{suffix}", f"KID{title}", "MMD²", "lower", "dino",
                    f"Unbiased MMD² with the cubic kernel of KID (arXiv 1801.01401, §4), here (cosine + 1)³, "
                    f"between DINO features of the tuned model's prior pictures and of the base model's with "
                    f"other seeds{among}, pairs of one prompt left out; an unchanged model is at the floor.",
                    version=2),
            measure(f"kid_floor{suffix}", f"KID floor{title}", "MMD²", None, "dino",
                    f"KID between two samples of the base model with disjoint seeds{among}.",
                    version=2),
        ]  # fmt: skip
        if group != "empty":  # an empty text has nothing to follow
            measures += [
                measure(f"prior_clip_t{suffix}", f"Prior CLIP-T{title}", "cosine", "higher", "clip",
                        f"CLIP-T of the tuned model's prior pictures{among or ' (empty prompt left out)'}."),
                measure(f"prior_clip_t_fall{suffix}", f"Fall of prior CLIP-T{title}", "cosine", "lower",
                        "clip",
                        f"CLIP-T of the base model's prior pictures less the tuned model's, same prompts "
                        f"and seeds{among or ' (empty prompt left out)'}."),
            ]  # fmt: skip
    return measures


MEASURES: dict[str, Measure] = {
    measure.name: measure for measure in (*_scores(), *_weights_and_noise(), *_prior_pictures())
}
