"""Methods compared: families at equal drift, curves, equal fidelity, what drift is damage, what is luck.

Puts together the blocks of its neighbours. Which blocks there are follows from the records. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from harness.errors import ConfigError, one_of
from harness.records import Record
from harness.report.comparison import protocol
from harness.report.comparison.arms import arms_of
from harness.report.comparison.families import Family, Splits, by_group
from harness.report.comparison.recovered import recovered
from harness.report.rows import Selection, select
from harness.report.tables import curve_differences as curved
from harness.report.tables.curve_differences import DRIFTS, NOTES, compare, scores_of
from harness.report.tables.damage_table import damage_block
from harness.report.tables.family_tables import DAGGER, RULE, dominance_block, family_block, pair_block
from harness.report.tables.fidelity_tables import area_block, equal_fidelity_block
from harness.report.tables.footnotes import ALIGNED
from harness.report.tables.markup import RENDERERS, Block, Sheet
from harness.report.tables.variance_table import variance_block


def table(
    records: Sequence[Record],
    against: str,
    *,
    where: Sequence[str] = (),
    drifts: Sequence[str] = DRIFTS,
    scores: Sequence[str] | None = None,
    power: bool = False,
    format: str = "markdown",
    tuned: Sequence[Record] = (),
    splits: Splits = Splits(),
) -> str:
    """Render the comparison as ``markdown`` or ``tex``.

    scores  the protocol's where records have them, unless given
    power   say what so many subjects can show, too
    tuned   records of the experiment that settings were tuned on: drift there chooses λ at each budget
    splits  which subjects those are, and which the protocol compares on

    Raises ConfigError for a mistake of the user's, also where nothing can be compared.
    """
    if format not in RENDERERS:
        raise ConfigError(one_of(format, RENDERERS, noun="format"))
    selection = select(recovered(records), where)
    chosen = tuple(scores or scores_of(selection))
    found = compare(selection, against, drifts=drifts, scores=chosen)
    blocks = list(_verdicts(selection, against, chosen, tuned, splits))
    if not blocks and not found:
        raise ConfigError(f"nothing to compare with {against}: no other method shares subjects and measures")
    blocks += [curved.differences_block(found, against, chosen)] if found else []
    blocks += _present(equal_fidelity_block(selection, against), area_block(selection) if found else None)
    blocks += [curved.power_block(found, chosen)] if power and found else []
    damage = damage_block(selection)
    blocks += _present(damage[0] if damage else None, variance_block(selection))
    notes = [RULE, *(NOTES if found else ()), *([damage[1]] if damage else [])]
    notes += [DAGGER] if any("†" in str(block) for block in blocks) else []
    notes += [ALIGNED] if any("‡" in str(block) for block in blocks) else []
    return RENDERERS[format](Sheet((), tuple(blocks), tuple(notes)))


def _verdicts(
    selection: Selection, against: str, scores: Sequence[str], tuned: Sequence[Record], splits: Splits
) -> Iterator[Block]:
    """The families where methods were read at budgets; the pairs otherwise."""
    found = _judged(selection, against, tuned, splits)
    for group in found:
        yield from map(family_block, group)
        yield from _present(dominance_block(group, against))
    if not any(found) and any(arm.key != against for arm in arms_of(selection)):
        yield from _present(pair_block(selection, against, scores))


def judged(
    records: Sequence[Record],
    against: str,
    *,
    where: Sequence[str] = (),
    tuned: Sequence[Record] = (),
    splits: Splits = Splits(),
) -> list[Family]:
    """Give the families whose verdicts :func:`table` lays out."""
    return [*chain(*_judged(select(recovered(records), where), against, tuned, splits))]


def _judged(
    selection: Selection, against: str, tuned: Sequence[Record], splits: Splits
) -> list[list[Family]]:
    names = [protocol.DRIFT, *(score.name for score in protocol.SCORES)]
    curved.check_encoders(selection.of("method"), names)
    return by_group(selection, against, tuned=select(recovered(tuned)).of("method"), splits=splits)


def _present(*blocks: Block | None) -> list[Block]:
    return [block for block in blocks if block is not None]
