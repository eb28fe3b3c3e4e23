"""How many one-line changes of a module the tests of its area notice, by mutmut (the extra ``mutation``).

    python benchmarks/mutation.py harness/report/stats.py [another module …] [--again]

The modules are changed in a copy, build/mutation/mutants; only the tests that AREAS names for them run, and
of those only the ones that call the changed function. Prints a row for each module, and the changes that no
test noticed but for those that tests/mutation/equivalent.yaml says make no difference. ``--again`` tries the
former alone once more, after a test was added or made stronger. Exit status 1 where a change survives.

mutmut leaves alone what stands outside functions, and functions under a decorator (properties,
``@torch.no_grad()``); PASSED_OVER says what else is left alone here. benchmarks/named_mutations.py changes
lines of both kinds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build/mutation"
EQUIVALENT = ROOT / "tests/mutation/equivalent.yaml"

REPORT, SCORES = "tests/report", "tests/metrics/scores"
AREAS = {
    "harness/report/stats.py": [f"{REPORT}/test_stats.py"],
    "harness/report/rows.py": [f"{REPORT}/test_rows.py"],
    "harness/report/values.py": [f"{REPORT}/test_rows.py"],
    **{
        f"harness/report/comparison/{name}.py": [f"{REPORT}/comparison/test_{name}.py"]
        for name in ("arms", "curves", "damage", "paired", "power", "variance", "verdicts")
    },
    "harness/report/tables/best_settings.py": [
        f"{REPORT}/tables/test_best_settings.py", f"{REPORT}/test_search.py",
    ],
    "harness/metrics/scores/averages.py": [f"{SCORES}/test_averages.py"],
    "harness/metrics/scores/prompt_accuracy.py": [f"{SCORES}/test_averages.py"],
    **{
        f"harness/metrics/scores/{name}.py": [f"{SCORES}/test_{name}.py"]
        for name in ("copying", "kid", "noise_drift", "similarity")
    },
    **{
        f"harness/metrics/{name}.py": ["tests/metrics/test_scorer.py"]
        for name in (
            "scorer", "scorer_inputs", "measures/copying", "measures/diversity", "measures/fidelity",
            "measures/image_drift", "measures/kid", "measures/noise_drift", "measures/preservation",
            "measures/prior_accuracy", "measures/prior_adherence", "measures/prompt_adherence",
            "measures/subject_looks", "measures/subject_shift", "measures/weight_drift",
        )
    },
    **{
        f"harness/diffusion/{name}.py": [f"tests/diffusion/test_{name}.py"]
        for name in (
            "augment", "denoising", "draws", "examples", "lessons", "lipschitz", "objective", "optimizer",
            "prior",
        )
    },
    "harness/diffusion/training.py": ["tests/diffusion/test_loop.py"],
    **{
        f"harness/diffusion/weights/{name}.py": [f"tests/diffusion/weights/test_{name}.py"]
        for name in ("adapters", "tokens")
    },
}  # fmt: skip
"""Module → the test files of its area."""

PASSED_OVER = [r"raise \w+\("]
"""Lines that are not changed: the words of errors. That an error is raised is still seen by its condition."""

SETTINGS = """\
[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["tests", "benchmarks"]
addopts = [
    "-q", "--strict-markers", "--import-mode=importlib", "-n", "0", "-p", "no:cacheprovider",
    "-p", "xdist.plugin", "-p", "_hypothesis_pytestplugin",
    "-p", "no:unraisableexception", "-p", "no:threadexception", "--hypothesis-profile=mutation",
]
filterwarnings = ["ignore::DeprecationWarning", "ignore::FutureWarning"]

[tool.mutmut]
source_paths = ["harness"]
only_mutate = {modules}
also_copy = ["baselines", "benchmarks", "experiments", "harness/experiments", "docs", "results", "README.md"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = {passed_over}
process_isolation = "forkserver"
timeout_constant = 15.0
timeout_multiplier = 5.0
track_dependencies = false
use_git_change_detection = false
on_dependency_change = "ignore"
"""
# forkserver: a process that ran torch's backward pass cannot run it again after a fork.
# The two plugins that are off collect garbage after every run, which touches all that a fork shares.

SPINNER = re.compile("[\u2800-\u28ff] ")
KILLED = {1: "killed", 3: "killed", 0: "survived", 5: "untested", 33: "untested", None: "not tried"}


@dataclass(frozen=True)
class Change:
    """One mutant: the lines that went, and those that came in their place, without their indentation."""

    name: str
    before: str
    after: str


@dataclass
class Outcome:
    """What became of a module's mutants. ``counts``: killed, timeout, equivalent, survived, untested."""

    module: str
    counts: Counter[str] = field(default_factory=Counter)
    left: list[Change] = field(default_factory=list)

    @property
    def score(self) -> float:
        """The share that tests noticed, of those that can be noticed."""
        noticed = self.counts["killed"] + self.counts["timeout"]
        total = self.counts.total() - self.counts["equivalent"]
        return noticed / total if total else 1.0

    def line(self) -> str:
        """A row of the table in tests/mutation/README.md."""
        noticed, total = self.counts["killed"] + self.counts["timeout"], self.counts.total()
        return f"| `{self.module}` | {total} | {noticed} | {self.counts['equivalent']} | {self.score:.1%} |"


def prepare(modules: Sequence[str]) -> None:
    """Make the folder that mutmut works in: links to the sources, and settings of its own."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in (
        "harness",
        "baselines",
        "benchmarks",
        "experiments",
        "docs",
        "results",
        "tests",
        "README.md",
    ):
        link = PLACE / name
        if not link.is_symlink():
            link.symlink_to(ROOT / name)
    tests = sorted({test for module in modules for test in AREAS[module]})
    lists = {"modules": list(modules), "tests": tests, "passed_over": PASSED_OVER}
    text = SETTINGS.format(**{name: json.dumps(words) for name, words in lists.items()})
    (PLACE / "pyproject.toml").write_text(text)


def mutmut(*names: str) -> None:
    """Try mutants by name, all of them without names; SystemExit with mutmut's words where it fails."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *names]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONPATH": "",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    done = subprocess.run(command, cwd=PLACE, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = [line for line in done.stdout.splitlines() if line and not SPINNER.match(line)]
        raise SystemExit(
            "\n".join([f"mutmut run failed in {PLACE}: do the tests pass there?", *said, done.stderr])
        )


def codes(module: str) -> dict[str, int | None]:
    """Mutant → exit status of its tests, as mutmut keeps them."""
    return json.loads((PLACE / "mutants" / f"{module}.meta").read_text())["exit_code_by_key"]


def change(name: str, module: str) -> Change:
    """Read what a mutant changes."""
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(PLACE):
        lines = get_diff_for_mutant(name, path=module).splitlines()
    lines = [line for line in lines if line[:3] not in ("---", "+++", "@@ ")]
    before, after = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
    return Change(name, before, after)


def judge(module: str) -> Outcome:
    """Count a module's mutants; those that survived are looked up among the equivalent ones."""
    known = {
        (each["before"], each["after"])
        for each in yaml.safe_load(EQUIVALENT.read_text())
        if each["module"] == module
    }
    outcome = Outcome(module)
    for name, code in codes(module).items():
        kind = KILLED.get(code, "timeout")
        if kind not in ("killed", "timeout"):
            made = change(name, module)
            if (made.before, made.after) in known:
                kind = "equivalent"
            else:
                outcome.left.append(made)
        outcome.counts[kind] += 1
    return outcome


def run(modules: Sequence[str], *, again: bool) -> None:
    """Try the mutants of modules, or with ``again`` those that no test noticed before."""
    prepare(modules)
    if not again:
        shutil.rmtree(PLACE / "mutants", ignore_errors=True)
        mutmut()
    elif names := [name for m in modules for name, code in codes(m).items() if KILLED.get(code) != "killed"]:
        mutmut(*names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("modules", nargs="+", choices=list(AREAS), metavar="MODULE")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    survived = False
    run(options.modules, again=options.again)
    for module in options.modules:
        outcome = judge(module)
        print(outcome.line(), dict(outcome.counts), flush=True)
        for made in outcome.left:
            print(f"# {made.name}")
            entry = [{"module": module, "before": made.before, "after": made.after, "why": ""}]
            print(yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=1000), end="", flush=True)
        survived = survived or bool(outcome.left)
    raise SystemExit(survived)


if __name__ == "__main__":
    main()
