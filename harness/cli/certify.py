"""The command ``harness certify``: what fresh prompts prove of a trial's model, and whether that holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completion
from harness.cli.sweep import Runs
from harness.errors import ConfigError


def certify(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY", help="A record's key, or how it starts.", autocompletion=completion.keys
        ),
    ] = None,
    prompts: Annotated[int, typer.Option(help="Fresh prior prompts to look at.")] = 512,
    confidence: Annotated[
        float, typer.Option(help="How sure each statement is, from 0.5 to below 1.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(min=0, help="Which fresh prompts are drawn.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: certificate.json in the trial's folder]")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Compute this certificate again instead.")
    ] = None,
    runs: Runs = Path("runs"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Certify a trial's model: what it does at most to prior prompts that nothing was measured on before.

    Its weights are restored, or fitted again bit for bit. docs/certify.md says what is assumed.

    Example:  harness certify 3fa9 --prompts 2048

    Example:  harness certify --verify runs/fewshot/3fa9c1d2e4b58a07/certificate.json
    """
    from harness.cli.lookup import find_record
    from harness.report import certificate

    if (key is None) == (verify is None):
        raise ConfigError("certify: give either the KEY of a trial or --verify FILE")
    stated = certificate.read(verify) if verify is not None else None
    if stated is None and (reason := certificate.too_few(prompts, confidence)):
        raise ConfigError(reason)
    folder, record = find_record(key or str(stated and stated["key"]), runs)
    from harness.cli.progress import meter
    from harness.sweep import certify as certifying  # loads torch

    with meter() as progress:
        if verify is not None and stated is not None:
            line = certifying.verify(verify, stated, folder, record, progress=progress, device=device)
        else:
            body = certifying.certify(
                folder,
                record,
                prompts=prompts,
                confidence=confidence,
                seed=seed,
                progress=progress,
                device=device,
            )
            line = _written(out or folder / record.key / certificate.FILE, body)
    if stated is None:
        typer.echo("\n".join(certificate.sentences(body)))
    typer.echo(line)


def _written(path: Path, body: dict[str, object]) -> str:
    from harness import files
    from harness.report import certificate

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, certificate.to_bytes(certificate.sealed(body)))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None
    return f"written: {path}"
