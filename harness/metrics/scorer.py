"""Metrics out of what a trial left: calls the formula that each entry names, averages, says what is missing.

The score stage needs encoders only, no backbone: saved images can be scored again. Knows no metric by name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from harness.metrics.measure import Measure, Missing, Remarked, Values
from harness.metrics.registry import MEASURES, of_sample_stage
from harness.metrics.scorer_inputs import Encoders, MovedModel, PriorPrompt, ScorerInputs, Scores
from harness.metrics.scores.averages import by_prompt, mean


class Scorer:
    """Computes the metrics of the score stage for one trial; features are shared between them.

    ``trained_on``: kinds of encoder that the method was trained on, whose scores are left empty.
    """

    def __init__(self, inputs: ScorerInputs, encoders: Encoders, *, trained_on: Collection[str] = ()) -> None:
        self.inputs, self.encoders, self.trained_on = inputs, encoders, trained_on

    def scores(self, names: Sequence[str]) -> Scores:
        """Compute the named scores."""
        return self._computed([MEASURES[name] for name in names])

    def drift(self) -> Scores:
        """Compute the drift measures that look at prior images."""
        return self._computed(
            [each for each in MEASURES.values() if (each.kind, each.stage) == ("drift", "score")]
        )

    def _computed(self, measures: Sequence[Measure]) -> Scores:
        result, of_prior = Scores(), _PriorValues(self.inputs, self.encoders)
        for measure in measures:
            try:
                if measure.kind == "score" and measure.encoder in self.trained_on:
                    raise Missing(f"trained on the {measure.encoder} encoder that scores (alignment)")
                if measure.per in ("prior prompt", "prior group"):
                    value = of_prior.number(measure, result)
                else:
                    value = self._number(measure, result)
                result.values[measure.name] = value
            except Missing as reason:
                result.values[measure.name] = None
                result.notes[measure.name] = str(reason)
        return result

    def _number(self, measure: Measure, result: Scores) -> float:
        """Average a score: images within a prompt, then prompts; photos follow none."""
        found = measure.formula(self.inputs, self.encoders)
        if isinstance(found, Remarked):
            result.notes[measure.name] = found.remark
            found = found.values
        if not isinstance(found, list):
            return _required(found)
        if measure.per == "image":
            result.by_image[measure.name] = found
            if self.inputs.photo_of is not None:
                return _required(mean(found))
            found = by_prompt(found, self.inputs.prompt_of, self.inputs.prompts)
        result.by_prompt[measure.name] = found
        return _required(mean(found))


class _PriorValues:
    """Metrics of prior images: over all prompts, and over each group. A formula is called once for all."""

    def __init__(self, inputs: ScorerInputs, encoders: Encoders) -> None:
        self._inputs, self._encoders = inputs, encoders
        self._values: dict[str, Values] = {}

    def number(self, measure: Measure, result: Scores) -> float | None:
        prior = self._inputs.prior_images()
        if measure.per == "prior group":
            chosen = prior.of_group(measure.group) if measure.group else prior
            return measure.formula(replace(self._inputs, prior=chosen), self._encoders)
        if measure.family not in self._values:
            self._values[measure.family] = measure.formula(self._inputs, self._encoders)
        values = self._values[measure.family]
        if measure.beside_images and measure.group is None:
            result.by_image[measure.name] = values
        value = group_mean(values, prior.prompts, measure.group)
        if value is None:
            raise Missing(f"no prior prompt of the group {measure.group!r} (drift.images)")
        return value


def group_mean(values: Values, prompts: Sequence[PriorPrompt], group: str | None) -> float | None:
    """Average the values of the prior prompts of a group, of all for None; None where there are none."""
    return mean([value for value, prompt in zip(values, prompts) if group in (None, prompt.group)])


def drift_of_weights(model: MovedModel) -> dict[str, float | None]:
    """Compute the drift measures that need the tuned weights; None where one has no number."""
    measures = of_sample_stage(() if model.subject is None else ("subject",))
    found = {measure.name: measure.formula(model) for measure in measures if measure.group is None}

    def number(measure: Measure) -> float | None:
        value = found[measure.family]
        return group_mean(value, model.prompts, measure.group) if isinstance(value, list) else value

    return {measure.name: number(measure) for measure in measures}


def _required(value: float | None) -> float:
    if value is None:
        raise Missing("a single photo: nothing to compare it with")
    return value
