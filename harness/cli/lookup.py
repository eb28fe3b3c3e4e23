"""Which run directory, which record: what a user types on the command line, looked up under ``runs/``."""

from __future__ import annotations

from pathlib import Path

from harness.cli.shipped import shipped
from harness.config import strict_yaml
from harness.errors import ConfigError, one_of
from harness.records import Record, has_records, read, run_directories


def run_folder(experiment: str, runs: Path) -> Path:
    """Find the run directory of an experiment file, or of an experiment by name. Raises ConfigError."""
    path = Path(experiment)
    if is_yaml(path):
        name = str(strict_yaml.read(path).get("name", path.stem))
    elif has_records(path):
        return path.resolve()
    else:
        name = experiment
    folder = runs / name
    if has_records(folder):
        return folder.resolve()
    known = [folder.name for folder in run_directories(runs)]
    if is_yaml(path):
        raise ConfigError(f"{folder}: no records yet; `harness sweep {experiment}` makes them")
    raise ConfigError(f"{one_of(name, known, noun='experiment')} (in {runs}/, or the path of a YAML file)")


def is_yaml(path: Path) -> bool:
    """Whether a user means an experiment's file by this, and not its name."""
    return path.suffix in (".yaml", ".yml")


def experiment_file(experiment: Path, runs: Path) -> Path:
    """The YAML file that is meant: a path, a run directory's resolved copy, an experiment of the package."""
    if is_yaml(experiment) or experiment.exists():
        return experiment
    saved = runs / experiment.name / "experiment.yaml"
    return saved if saved.is_file() else shipped().get(experiment.as_posix(), experiment)


def find_record(key: str, runs: Path) -> tuple[Path, Record]:
    """Find the record whose key starts with ``key`` in any run directory. Raises ConfigError."""
    found = [
        (folder, record)
        for folder in run_directories(runs)
        for record in read(folder)
        if record.key.startswith(key)
    ]
    if not found:
        raise ConfigError(f"no record's key starts with {key!r} in {runs}/")
    keys = sorted({record.key for _, record in found})
    if len(keys) > 1:
        raise ConfigError(f"{key!r} fits {len(keys)} records: {', '.join(keys[:6])}…; give more of the key")
    return found[-1]
