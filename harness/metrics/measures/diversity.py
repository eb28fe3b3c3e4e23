"""DIV: how much the images of one prompt differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.metrics.measure import Measure, Missing, Values

if TYPE_CHECKING:
    from PIL.Image import Image

    from harness.metrics.scorer_inputs import Encoders, ScorerInputs


def lpips_diversity(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Mean LPIPS between the images of each prompt; None for a single image."""
    from harness.metrics.scores import similarity

    groups = _by_prompt(inputs)
    lpips = encoders.model(
        "lpips", lacking="no LPIPS weights (encoders: {lpips: {model: lpips-alex, checkpoint: FILE}})"
    )
    return _each(groups, lambda group: similarity.mean_pairwise(lpips.pairwise(group)))


def dino_diversity(inputs: ScorerInputs, encoders: Encoders) -> Values:
    """Mean 1 − cosine between the images of each prompt; None for a single image."""
    from harness.metrics.scores import similarity

    groups = _by_prompt(inputs)
    dino = encoders.features("dino")
    return _each(groups, lambda group: similarity.diversity(dino.of(group)))


def _by_prompt(inputs: ScorerInputs) -> list[list[Image]]:
    inputs.require_prompts()
    groups: list[list[Image]] = [[] for _ in range(inputs.prompts)]
    for image, prompt in zip(inputs.images, inputs.prompt_of):
        groups[prompt].append(image)
    if max(map(len, groups)) < 2:
        raise Missing("needs at least 2 pictures per prompt (sampling.images)")
    return groups


def _each(groups: Sequence[list[Image]], diversity: Callable[[list[Image]], float]) -> Values:
    return [diversity(group) if len(group) > 1 else None for group in groups]


ENTRIES = (
    Measure(
        name="div",
        title="DIV",
        unit="LPIPS",
        direction="higher",
        encoder="lpips",
        definition="Mean LPIPS between images of one subject and prompt; needs two images per prompt.",
        source="DreamBooth, arXiv 2208.12242, §4.3",
        formula=lpips_diversity,
        per="prompt",
        order=70,
        stand_in="div_dino",
    ),
    Measure(
        name="div_dino",
        title="DIV (DINO)",
        unit="1 − cosine",
        direction="higher",
        encoder="dino",
        definition="Mean 1 − cosine of DINO features between images of one subject and prompt: DIV without "
        "LPIPS weights; needs two images per prompt.",
        formula=dino_diversity,
        per="prompt",
        order=80,
    ),
)
