"""Benchmark and experiment harness for few-shot personalization of text-to-image diffusion models.

In Python and notebooks: ``harness.load("fewshot")``, ``table``, ``compare`` and ``show`` (see
:mod:`harness.cli.interactive`), each imported when it is first asked for. Importing this does no work.
"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in ("load", "table", "compare", "show"):
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("harness.cli.interactive"), name)
