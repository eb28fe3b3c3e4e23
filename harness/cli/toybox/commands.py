"""The commands about the embedded benchmark: ``harness pretrain`` and ``harness toybox …``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import ConfigError, one_of

toybox = typer.Typer(
    help="The embedded benchmark: look at it, check it, take it elsewhere.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def pretrain(
    workdir: Annotated[Path, typer.Option(help="Where checkpoints, images and curves are kept.")],
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="[STAGE]...", help="Stages, in turn [default: all].")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 1,
    pictures: Annotated[int | None, typer.Option(min=1, help="Images to see in all.")] = None,
    cooldown: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of the images over which the learning rate falls."),
    ] = None,
    part: Annotated[
        str, typer.Option(metavar="I/N", help="Of renders, draw every N-th shard from the I-th.")
    ] = "0/1",
    adopt: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Train nothing; begin with the weights here.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option(metavar="WEIGHTS", help="Train nothing; write the averaged weights here.")
    ] = None,
) -> None:
    """Train the embedded benchmark's networks from the package's own code; running it again continues.

    Example:  harness pretrain autoencoder unet --workdir /tmp/toybox
    """
    from harness.toybox.pretrain import stages as training

    if adopt is not None and export is not None:
        raise ConfigError("--adopt and --export: give one of them at a time")
    known = training.STAGES if adopt is None else training.ADOPTING
    for stage in stages or ():
        if stage not in known:
            noun = "stage" if adopt is None else "stage with weights to adopt"
            raise ConfigError(one_of(stage, known, noun=noun))
    share = _part(part)
    with _one_line():
        for stage in stages or known:
            if adopt is not None:
                training.adopt(stage, workdir=workdir, weights=adopt)
            elif export is not None:
                training.export(stage, workdir=workdir, weights=export)
            else:
                training.run(
                    stage, workdir=workdir, threads=threads, pictures=pictures, cooldown=cooldown, part=share
                )


def _part(text: str) -> tuple[int, int]:
    """Read "I/N"."""
    first, slash, count = text.partition("/")
    if not (slash and first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        raise ConfigError(f"--part {text}: must be I/N with I from 0 to N - 1, such as 0/2")
    return int(first), int(count)


@contextmanager
def _one_line() -> Iterator[None]:
    """Turn files that are not there, or cannot be read or written, into one line."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


@toybox.command()
def sheet(
    out: Annotated[Path, typer.Argument(metavar="PNG", help="The image to write.")],
    subjects: Annotated[bool, typer.Option("--subjects", help="Subjects and their photos.")] = False,
    confirmation: Annotated[
        bool, typer.Option("--confirmation", help="The subjects drawn by rule, two photos of each.")
    ] = False,
    samples: Annotated[
        bool, typer.Option("--samples", help="What the embedded Stable Diffusion makes of captions.")
    ] = False,
    reconstructions: Annotated[
        bool, typer.Option("--reconstructions", help="Renders, each beside itself autoencoded.")
    ] = False,
    count: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many [default: 48 scenes, all subjects, 32 drawn, 24 samples, 24 pairs]."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Which scenes, or the samples' noise.")] = 0,
) -> None:
    """Draw random scenes of the world on one sheet; or its subjects, or what the networks make.

    Example:  harness toybox sheet samples.png --samples
    """
    flags = {
        "subjects": subjects,
        "confirmation": confirmation,
        "samples": samples,
        "reconstructions": reconstructions,
    }
    kinds = [name for name, wanted in flags.items() if wanted] or ["scenes"]
    if len(kinds) > 1:
        raise ConfigError(f"{' and '.join(f'--{name}' for name in kinds)}: a sheet shows one of them")
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of an image to write")
    from harness.cli.toybox import sheet as drawing

    with _one_line():
        typer.echo(drawing.KINDS[kinds[0]](out, count=count, seed=seed))


@toybox.command()
def check(
    parts: Annotated[
        list[str] | None, typer.Argument(metavar="[PART]...", help="What to measure [default: all].")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object at the end instead of lines.")
    ] = False,
) -> None:
    """Measure the shipped networks against the floors of their data sheet; exit status 1 if one falls short.

    Example:  harness toybox check autoencoder clip
    """
    from harness.cli.toybox import check as checking
    from harness.cli.toybox import figures as figures_of
    from harness.toybox import loading

    for part in parts or ():
        if part not in checking.CHECKS:
            raise ConfigError(one_of(part, checking.CHECKS, noun="check"))
    figures = []
    with _one_line():
        for figure in checking.check(parts or tuple(checking.CHECKS), say=_progress):
            figures.append(figure)
            if not as_json:
                typer.echo(figures_of.line(figure))
    if as_json:
        typer.echo(json.dumps(figures_of.summary(figures, revision=loading.revision()), indent=2))
    if not all(figure.passed for figure in figures):
        raise typer.Exit(1)


def _progress(line: str) -> None:
    typer.echo(line, err=True)


@toybox.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write; must not exist.")],
) -> None:
    """Write the embedded Stable Diffusion as a folder that diffusers reads.

    Example:  harness toybox export /tmp/toybox-sd
    """
    from harness.toybox import loading

    if folder.exists():
        raise ConfigError(f"{folder}: is there already; give a new folder")
    with _one_line():
        loading.export(folder)
    typer.echo(folder)
