"""``python -m harness.toybox.pretrain [STAGE…]``: train stages, or write out what they have learnt."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness.toybox import pretrain


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    result = argparse.ArgumentParser(prog="python -m harness.toybox.pretrain", description=__doc__)
    result.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"of {', '.join(pretrain.STAGES)} (default: all)"
    )
    result.add_argument(
        "--workdir", type=Path, required=True, help="where pools, checkpoints and curves live"
    )
    result.add_argument("--threads", type=int, default=1)
    result.add_argument(
        "--pictures", type=int, help="see this many pictures in all, instead of the stage's number"
    )
    result.add_argument(
        "--cooldown", type=float, help="share of the pictures over which the learning rate falls"
    )
    result.add_argument(
        "--part", default="0/1", metavar="I/N", help="render only every N-th shard from the I-th"
    )
    result.add_argument(
        "--export", type=Path, metavar="WEIGHTS", help="train nothing; write the averaged weights here"
    )
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Run or export the stages that the command line names."""
    asked = parser().parse_args(argv)
    part, parts = (int(number) for number in asked.part.split("/"))
    for stage in asked.stages or pretrain.STAGES:
        if asked.export is not None:
            pretrain.export(stage, workdir=asked.workdir, weights=asked.export)
        else:
            pretrain.run(
                stage,
                workdir=asked.workdir,
                threads=asked.threads,
                pictures=asked.pictures,
                cooldown=asked.cooldown,
                part=(part, parts),
            )


if __name__ == "__main__":
    main()
