"""What a second worker on the same machine costs the first, and what of the machine they share.

    python benchmarks/neighbours.py [--seconds 6] [--rounds 3]

Four kinds of work, each in one process with one thread, alone and beside a second process that does the same:

    core    a matrix product that lives in a core's own caches: slower beside another where "cores" are two
            threads of one, or the clock falls when both are busy
    cache   a matrix product of 1024 × 1024, in the cache that cores share
    memory  a copy of 256 MB
    step    a training step of DreamBooth on the embedded benchmark (batch 4), through the harness's worker;
            also with memory in huge pages, as PyTorch and as glibc can be asked for them

Prints milliseconds alone, beside, and the ratio: the median over the rounds. Measure on an idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

MEGABYTE = 1 << 20
HUGE = {
    "PyTorch's huge pages": {"THP_MEM_ALLOC_ENABLE": "1"},
    "glibc's huge pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "never given back": {"MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30)},
}
ROWS: dict[str, tuple[str, dict[str, str]]] = {
    "core: product of 96 × 96": ("core", {}),
    "cache: product of 1024 × 1024": ("cache", {}),
    "memory: copy of 256 MB": ("memory", {}),
    "step of DreamBooth": ("step", {}),
    **{f"step, {words}": ("step", env) for words, env in HUGE.items()},
}


def core() -> Callable[[], object]:
    """A product in a core's own caches, a thousand times."""
    import numpy as np

    left, right, out = (np.ones((96, 96), np.float32) for _ in range(3))
    return lambda: [np.dot(left, right, out=out) for _ in range(1000)]


def cache() -> Callable[[], object]:
    """A product whose matrices are twelve megabytes together."""
    import numpy as np

    left, right, out = (np.ones((1024, 1024), np.float32) for _ in range(3))
    return lambda: np.dot(left, right, out=out)


def memory() -> Callable[[], object]:
    """A copy that no cache holds."""
    import numpy as np

    source, target = (np.ones(256 * MEGABYTE, np.uint8) for _ in range(2))
    return lambda: np.copyto(target, source)


def timed(work: Callable[[], object], seconds: float) -> float:
    """Milliseconds of one call: the median over so many seconds."""
    spent, end = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        work()
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)


def child(kind: str, seconds: float) -> None:
    """Warm up, say so, wait for the word, measure, print the milliseconds."""
    if kind == "step":
        from step_price import PLAIN, Bench
        from step_price import ROWS as METHODS

        with Bench({PLAIN: METHODS[PLAIN]}, steps=max(8, int(seconds / 0.08))) as bench:
            bench.seconds(PLAIN)
            ready()
            print(1000 * bench.seconds(PLAIN), flush=True)
        return
    work = {"core": core, "cache": cache, "memory": memory}[kind]()
    timed(work, 0.5)
    ready()
    print(timed(work, seconds), flush=True)


def ready() -> None:
    """Tell the parent, and wait for its word."""
    print("ready", flush=True)
    sys.stdin.readline()


def measured(kind: str, env: dict[str, str], count: int, seconds: float) -> float:
    """Milliseconds in the mean of so many processes that do the same at once."""
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", kind, "--seconds", str(seconds)]
    running = [
        subprocess.Popen(
            command,
            env={**os.environ, **alone, **env},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(count)
    ]
    for each in running:
        assert each.stdout is not None and each.stdout.readline().strip() == "ready"
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    return statistics.mean(float(each.communicate()[0]) for each in running)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=("core", "cache", "memory", "step"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.seconds)
        return
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ROWS}
    for _ in range(options.rounds):
        for name, (kind, env) in ROWS.items():
            found[name].append(
                (measured(kind, env, 1, options.seconds), measured(kind, env, 2, options.seconds))
            )
    table = Table("Work", "ms alone", "ms beside", "ratio")
    for name, pairs in found.items():
        alone, beside = (statistics.median(values) for values in zip(*pairs, strict=True))
        table.add_row(
            name, f"{alone:.2f}", f"{beside:.2f}", f"{statistics.median(b / a for a, b in pairs):.3f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
