"""Whether the tests notice one-line changes of a recipe or a score that once went unnoticed.

    python benchmarks/named_mutations.py [words of a change …] [--control]

Each change is made in a copy of the sources, in a folder of its own, and the tests of its area run there
until one fails. Prints killed, with that test, or SURVIVED for each; exit status 1 where one survives.
Without words: all. ``--control`` changes nothing and runs the same tests, which must pass.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
os.environ.update(dict.fromkeys(THREADS, "1"))  # before torch is loaded
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Change:
    """A change said in words: a text that stands once in a file, what takes its place, pytest's arguments."""

    words: str
    path: str
    before: str
    after: str
    tests: str


DREAMBOOTH = "tests/recipes/test_dreambooth.py"
CUSTOM = "tests/recipes/test_custom_diffusion.py"
LORA = "tests/recipes/test_lora.py"
INVERSION = "tests/recipes/test_textual_inversion.py"

CHANGES = (
    Change(
        "masked mean not divided by the mask's area",
        "harness/diffusion/objective.py",
        "((squares * masks).sum((1, 2, 3)) / area).mean()",
        "(squares * masks).mean()",
        CUSTOM,
    ),
    Change(
        "masks ignored",
        "harness/diffusion/objective.py",
        'if reduction == "whole" or masks is None:',
        "if True:",
        CUSTOM,
    ),
    Change(
        "the prior's loss taken on the subject's half",
        "harness/diffusion/denoising.py",
        "squares[drawn.subject :].mean()",
        "squares[: drawn.subject].mean()",
        DREAMBOOTH,
    ),
    Change(
        "captions of class examples replaced",
        "harness/diffusion/draws.py",
        "more.latents]), captions + more.captions",
        "more.latents]), captions + captions",
        DREAMBOOTH,
    ),
    Change(
        "augmentation dropped",
        "harness/diffusion/lessons.py",
        "TrainingSet.prepare(backbone, examples, augment, generator)",
        "TrainingSet.prepare(backbone, examples, None, generator)",
        CUSTOM,
    ),
    Change(
        "weight decay ignored",
        "harness/diffusion/optimizer.py",
        "weight_decay=weight_decay",
        "weight_decay=0.0",
        DREAMBOOTH,
    ),
    Change(
        "Adam in place of AdamW",
        "harness/diffusion/optimizer.py",
        '"adamw": torch.optim.AdamW',
        '"adamw": torch.optim.Adam',
        DREAMBOOTH,
    ),
    Change(
        "learning rate doubled",
        "harness/diffusion/optimizer.py",
        "trained, lr=lr,",
        "trained, lr=2 * lr,",
        DREAMBOOTH,
    ),
    Change(
        "clipping ignored",
        "harness/diffusion/training.py",
        "if clip is not None:",
        "if False:",
        DREAMBOOTH,
    ),
    Change(
        "accumulation not averaged",
        "harness/diffusion/training.py",
        "objective(next(batches)) / accumulate",
        "objective(next(batches))",
        DREAMBOOTH,
    ),
    Change(
        "LoRA's alpha ignored",
        "harness/diffusion/weights/adapters.py",
        "scale: Any = lora.alpha",
        "scale: Any = lora.rank",
        LORA,
    ),
    Change(
        "LoRA's start halved",
        "harness/diffusion/weights/adapters.py",
        "down.data = initial.to(",
        "down.data = (initial / 2).to(",
        LORA,
    ),
    Change(
        "Textual Inversion started from another word",
        "harness/diffusion/weights/tokens.py",
        "torch.stack([row(word) for word in words])",
        'torch.stack([row("photo") for word in words])',
        INVERSION,
    ),
    Change(
        "class images drawn without guidance",
        "harness/diffusion/prior.py",
        "guidance=guidance",
        "guidance=1.0",
        "tests/recipes/test_draws.py",
    ),
    Change(
        "KID unpaired",
        "harness/metrics/measures/kid.py",
        "paired=True",
        "paired=False",
        "tests/metrics/test_scorer.py",
    ),
    Change(
        "PRES over all prior images",
        "harness/metrics/measures/preservation.py",
        'inputs.prior_images().of_group("class").tuned',
        "inputs.prior_images().tuned",
        "tests/metrics/test_scorer.py",
    ),
    Change(
        "tuned prior images with other seeds",
        "harness/trial/stages.py",
        "[prompt.seed for prompt in prior]",
        "[prompt.other_seed for prompt in prior]",
        "tests/trial/test_worker.py -k prior",
    ),
    Change(
        "another level for bold",
        "harness/report/tables/method_table.py",
        "rival.cells[name].by_subject, level=LEVEL",
        "rival.cells[name].by_subject, level=0.8",
        "tests/report/tables/test_method_table.py",
    ),
)
"""Fourteen of training and four of scoring; all passed the tests of their area before tests/recipes came."""


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of what tests need, the embedded weights by link."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        links = ("docs", "results", "README.md", "experiments", "CHANGELOG.md", "CONTRIBUTING.md")
        for name in links:
            (place / name).symlink_to(ROOT / name)
        skipped = shutil.ignore_patterns("__pycache__", "weights", "experiments")
        for name in ("harness", "baselines", "benchmarks", "tests"):
            shutil.copytree(ROOT / name, place / name, ignore=skipped, symlinks=True)
        shutil.copytree(ROOT / "harness/diffusion/weights", place / "harness/diffusion/weights")
        (place / "harness/toybox/weights").symlink_to(ROOT / "harness/toybox/weights")
        (place / "harness/experiments").symlink_to("../experiments")
        shutil.copy(ROOT / "pyproject.toml", place)
        yield place


def load_libraries() -> None:
    """Import what every change's tests need, once: the tests run in forks of this process.

    Nothing of the harness is among it, and nothing is computed: a fork can then still run a backward pass.
    """
    for name in (
        "scipy.stats",
        "pandas",
        "torch",
        "torchvision",
        "transformers",
        "peft",
        "open_clip",
        "timm",
    ):
        importlib.import_module(name)
    for name in ("StableDiffusionPipeline", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline"):
        getattr(importlib.import_module("diffusers"), name)


def first_failure(change: Change, *, made: bool = True) -> str | None:
    """Make a change in a copy and run its tests there; the test that failed, None where none did.

    ``made``: False leaves the copy as it is. RuntimeError where the tests cannot run at all.
    """
    with copied() as place:
        path = place / change.path
        text = path.read_text()
        if (found := text.count(change.before)) != 1:
            raise RuntimeError(f"{change.path} has {change.before!r} {found} times, not once")
        if made:
            path.write_text(text.replace(change.before, change.after))
        log = place / "log"
        process = os.fork()
        if not process:
            os._exit(_tested(place, log, change.tests))
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        said = log.read_text()
        failed = re.search(r"^FAILED (\S+)", said, re.MULTILINE)
        if status not in (0, 1) or (status == 1) != bool(failed):
            raise RuntimeError(f"{change.words}: the tests did not run\n{said}")
        return failed[1] if failed else None


def _tested(place: Path, log: Path, tests: str) -> int:
    """Run pytest in a copy and send what it says to a file; its exit status."""
    with log.open("w") as written:
        os.dup2(written.fileno(), 1)
        os.dup2(written.fileno(), 2)
    os.chdir(place)
    sys.path[:0] = [str(place)]
    try:
        return int(
            pytest.main(["-x", "-q", "-rf", "-n", "0", "--hypothesis-profile=mutation", *tests.split()])
        )
    except BaseException:
        traceback.print_exc()
        return 99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    chosen = [c for c in CHANGES if not options.words or any(word in c.words for word in options.words)]
    load_libraries()
    if options.control:
        for change in {change.tests: change for change in chosen}.values():
            failed = first_failure(change, made=False)
            print(f"{'FAILED' if failed else 'passed':8}  {change.tests}  {failed or ''}", flush=True)
        return
    survived = 0
    for change in chosen:
        failed = first_failure(change)
        survived += failed is None
        print(
            f"{'killed' if failed else 'SURVIVED':8}  {change.words}  ({failed or change.tests})", flush=True
        )
    raise SystemExit(survived > 0)


if __name__ == "__main__":
    main()
