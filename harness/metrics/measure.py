"""What a metric is: one entry with its formula, unit, version, encoder, source and where it is shown.

Knows no metric, and imports neither torch, pandas nor numpy: the configuration, the keys and the tables
read entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Direction = Literal["higher", "lower"]
Per = Literal["image", "prompt", "trial", "prior prompt", "prior group"]
Values = list[float | None]

IMAGES = "{images} prior pictures"
"""Sizes of a measure of prior images."""

GROUPS = ("class", "other", "empty")
"""Groups of prior prompts: of the subject's class, of other classes, and the empty prompt."""

ATTRIBUTES = ("class", "background", "colour", "accessory")
"""Attributes that a prompt can ask for and the probe reads off a Toybox image."""

LOOKS = {"pattern": ("pattern",), "shape": ("shape_1", "shape_2", "shape_3", "shape_4")}
"""A subject's own looks, which no prompt of its own asks for → what the probe reads of them."""


class Missing(Exception):
    """A metric that cannot be computed here; the text says why and goes into the record."""


@dataclass(frozen=True)
class Remarked:
    """What a formula returns beside its values: a remark for the record."""

    values: Values
    remark: str


@dataclass(frozen=True)
class Shown:
    """Where a metric is shown unless the user says otherwise: its rank in each place, None where it is not.

    table       the compact table
    shots       the figure against the number of shots
    constraint  the figures along a constraint
    fidelity, adherence  the vertical axes of the trade-off figure: the first that some record has
    drift       the horizontal axes of the trade-off figure
    progress    the line of a finished trial: the first three that its record has
    merit       what a search on data with ground truth chooses settings by
    accuracy    what other searches choose by, and what Toybox's presets were chosen by
    """

    table: int | None = None
    shots: int | None = None
    constraint: int | None = None
    fidelity: int | None = None
    adherence: int | None = None
    drift: int | None = None
    progress: int | None = None
    merit: int | None = None
    accuracy: int | None = None


Place = Literal[
    "table", "shots", "constraint", "fidelity", "adherence", "drift", "progress", "merit", "accuracy"
]


@dataclass(frozen=True)
class Measure:
    """One score (of the images asked for) or drift measure (of the distance from the base model).

    formula      the function that computes it: of ``ScorerInputs`` and ``Encoders`` at the stage ``score``,
                 of a ``MovedModel`` at the stage ``sample`` (:mod:`harness.metrics.scorer_inputs`). It
                 returns a number, Values or Remarked, and raises Missing where it cannot
    per          what it returns a number for: a value for each ``image``, ``prompt`` or ``prior prompt``, to
                 be averaged; one number for a ``trial``, or for a ``prior group``, given its prior images
    kind         ``score`` or ``drift``
    direction    None: neither end is better by itself
    version      raise it when a number would come out differently: saved images are then scored again
    encoder      the kind of encoder that it needs
    stage        when it is computed: ``sample`` needs the tuned weights, ``score`` saved images only
    groups       the groups of prior prompts for which it is computed again, under ``NAME_GROUP``
    order        its place among those of its kind and stage in tables, files and lists
    stand_in     the metric shown in its place where it is empty everywhere
    noise_floor  the metric that says what it reads where nothing changed, for a footnote
    needs_model  a score that looks at more than the images asked for: not of images made elsewhere
    beside_images  a drift measure whose numbers stand beside each prior image in ``images.json``
    empty        at the stage ``sample``, why it has no number where the formula gives None
    option       the option of the drift set without which it is neither computed nor in any key
    recovered    its number out of the values by prompt of a record that was made before it was a metric; None
                 where they do not tell
    sizes        how many prior prompts, timesteps or images it is over, of the keys of ``drift:``
                 ("{prompts} prior prompts × {timesteps} timesteps"): numbers over others do not compare
    shared       subjects share its prompts and seeds: its spread over subjects is not its error
    """

    name: str
    title: str
    unit: str
    direction: Direction | None
    definition: str
    formula: Callable[..., Any]
    per: Per
    kind: Literal["score", "drift"] = "score"
    stage: Literal["sample", "score"] = "score"
    version: int = 1
    encoder: str | None = None
    source: str | None = None
    groups: tuple[str, ...] = ()
    order: int = 1000
    shown: Shown = Shown()
    stand_in: str | None = None
    noise_floor: str | None = None
    needs_model: bool = False
    beside_images: bool = False
    empty: str | None = None
    option: str | None = None
    recovered: Callable[[Mapping[str, Values]], float | None] | None = None
    sizes: str | None = None
    shared: bool = False
    group: str | None = None

    @property
    def family(self) -> str:
        """The entry's own name, without the group that it was expanded to."""
        return self.name.removesuffix(f"_{self.group}") if self.group else self.name

    @property
    def description(self) -> str:
        """The definition in a sentence, with its source."""
        return f"{self.definition[:-1]} ({self.source})." if self.source else self.definition

    def expanded(self) -> Iterator[Measure]:
        """Yield the entry, then one for each of its groups of prior prompts."""
        yield self
        for group in self.groups:
            yield replace(
                self,
                name=f"{self.name}_{group}",
                title=f"{self.title}, {group} prompts",
                definition=f"{self.name} over the prior prompts of the group {group!r} alone.",
                source=None,
                shown=Shown(),
                stand_in=None,
                noise_floor=self.noise_floor and f"{self.noise_floor}_{group}",
                recovered=None,
                groups=(),
                group=group,
            )

    @property
    def position(self) -> tuple[int, int, int, int, str]:
        """Sort scores before drift, drift of the weights before drift of the images, those by group."""
        group = 1 + GROUPS.index(self.group) if self.group else 0
        section = 0 if self.kind == "score" else 1 if self.stage == "sample" else 2
        return (section, group if section == 2 else 0, self.order, group, self.name)
