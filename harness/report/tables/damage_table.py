"""Which drift measure is damage? Rank correlations of drift measures with what is lost, in a table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.config.titles import counted
from harness.metrics.registry import MEASURES
from harness.report.comparison.arms import Arm, arms_of, floor_of
from harness.report.comparison.curves import Resampled, Vector
from harness.report.comparison.damage import agreement
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.comparison.protocol import COMPOSITION, DRIFT
from harness.report.rows import COLUMNS, Selection
from harness.report.tables.curve_differences import interval, moved, plain
from harness.report.tables.markup import EMPTY, Block

PRIOR_FALLS = ("prior_accuracy_fall_other", "prior_clip_t_fall")
"""What kept prior is judged by: ground truth, else what CLIP says."""
MEASURED = (
    *("weight_l2", "weight_tensor_mean", "noise_l2", "noise_l2_class", "noise_l2_other", "noise_l2_subject"),
    *("lipschitz_ratio", "image_drift", "image_drift_class", "image_drift_other", "kid", "kid_other", "pres"),
)
LEAST_SETTINGS, LEAST_WITHIN = 8, 5
"""Settings that a correlation over all methods needs, and one within a method."""
WEAK, STRONG = 0.5, 0.8


def damage_block(selection: Selection) -> tuple[Block, str] | None:
    """Lay out Spearman's ρ of every drift measure with the falls of kept prior and composition.

    Over all settings that drift, and within each method; subjects are resampled. With it comes one sentence.
    None where fewer than LEAST_SETTINGS settings share 3 subjects.
    """
    arms = [arm for arm in arms_of(selection) if moved(arm, DRIFT) and "@" not in arm.key]
    groups = {arm.group for arm in arms}
    if len(groups) != 1 or not (fall := _fall(arms)):
        return None
    everything = Arm("", "all", tuple(row for arm in arms for row in arm.rows), arms[0].group)
    subjects = sorted(everything.subjects([DRIFT, fall]))
    if len(everything.rows) < LEAST_SETTINGS or len(subjects) < LEAST_SUBJECTS:
        return None
    within = [arm for arm in arms if len(arm.rows) >= LEAST_WITHIN]
    names = [name for name in MEASURED if set(subjects) <= everything.subjects([name])]
    composition = _lost_composition(selection, everything, subjects)
    found = {name: agreement(*(everything.matrix(each, subjects) for each in (name, fall))) for name in names}
    lines = [
        (
            COLUMNS[name].title,
            interval(found[name], 2),
            EMPTY
            if composition is None
            else interval(agreement(everything.matrix(name, subjects), composition), 2),
            *(_within(arm, name, fall, subjects) for arm in within),
        )
        for name in names
    ]
    title = COLUMNS[fall].title
    block = Block(
        f"Which drift measure is damage? Spearman's ρ over {counted(len(everything.rows), 'setting')} [95 % "
        f"interval, {len(subjects)} subjects resampled] with the fall of kept prior ({title}); with that of "
        "composition; with the former within each method. Exploratory.",
        ("Drift measure", "All", "Composition", *(arm.name for arm in within)),
        plain(lines),
    )
    return block, _sentence(found, title, len(everything.rows), len(subjects))


def _fall(arms: Sequence[Arm]) -> str | None:
    return next((name for name in PRIOR_FALLS if arms and all(arm.subjects([name]) for arm in arms)), None)


def _lost_composition(selection: Selection, arm: Arm, subjects: Sequence[str]) -> Vector | None:
    floor, name = floor_of(selection, arm), COMPOSITION.name
    held = arm.subjects([name]) & set(floor.cells[name].by_subject if floor and name in floor.cells else ())
    if floor is None or not set(subjects) <= held:
        return None
    base = [floor.cells[name].by_subject[subject] for subject in subjects]
    lost: Vector = base - arm.matrix(name, subjects)
    return lost


def _within(arm: Arm, name: str, fall: str, subjects: Sequence[str]) -> str:
    return interval(agreement(*(arm.matrix(each, subjects) for each in (name, fall))), 2)


def _sentence(found: dict[str, Resampled], title: str, settings: int, n: int) -> str:
    """Say which measure tracks damage best, and whether the next budgets move to another axis."""
    known = {name: result for name, result in found.items() if result.value is not None}
    best = max(known, key=lambda name: known[name].value or 0.0)
    axis = known.get(DRIFT)
    free = [name for name in known if name in MEASURES and MEASURES[name].encoder is None]
    other = max((n for n in free if n != DRIFT), key=lambda name: known[name].value or 0.0, default=None)
    sentence = (
        f"Over {settings} settings and {n} subjects {COLUMNS[best].title} tracks the damage ({title}) best, "
        f"ρ {interval(known[best], 2)}"
    )
    if axis is None or axis.value is None:
        return sentence + "."
    sentence += f"; ‖Δε‖₂ has {interval(axis, 2)}"
    strong = other is not None and (known[other].value or 0.0) > STRONG
    if axis.value < WEAK and strong and other:
        rule = f"below {WEAK:g}, while {COLUMNS[other].title}, which needs no images, is above {STRONG:g}"
        return f"{sentence}: {rule}: the next budgets move there."
    return f"{sentence}: the budgets stay on ‖Δε‖₂."
