"""Where a base model's files are, and a hash that says which weights they hold. Imports no torch."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.diffusion.backbones.families import pipeline_parts
from harness.errors import BackboneError, RecordsError
from harness.files import cache_root, file_digest, json_digest, write_atomically
from harness.specs import BackboneSpec

FILES = ("*.json", "*.txt", "*.safetensors")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def backbone_revision(spec: BackboneSpec, *, cache: Path | None = None) -> str:
    """Say which weights a spec means, without loading or downloading them.

    A folder: 16 hex digits over the content of its files, remembered in ``cache``. A Hub id: the commit.
    Raises BackboneError where neither can be found.
    """
    wanted, cache = _local(spec), cache or cache_root()
    if isinstance(wanted, Path):
        return with_options(content_revision(wanted, cache), spec, cache)
    return with_options(_from_hub(wanted, lambda: _hub_commit(wanted, spec.revision)), spec, cache)


def locate(spec: BackboneSpec) -> tuple[Path, str | None]:
    """Find the folder of a base model, and the Hub's commit if it comes from there."""
    wanted = _local(spec)
    if isinstance(wanted, Path):
        return wanted, None
    unwanted = [f"{part}/*" for part, value in spec.options.items() if value == "none"]
    folder = Path(_from_hub(wanted, lambda: _download(wanted, spec.revision, ignore_patterns=unwanted)))
    return folder, folder.name


def find_local(spec: BackboneSpec) -> Path | None:
    """The folder of a base model that lies on this machine; None for a Hub id."""
    wanted = _local(spec)
    return wanted if isinstance(wanted, Path) else None


def find_here(spec: BackboneSpec) -> Path:
    """The folder of a base model on this machine, nothing downloaded. Raises BackboneError."""
    wanted = _local(spec)
    if isinstance(wanted, Path):
        return wanted
    return Path(_from_hub(wanted, lambda: _download(wanted, spec.revision, local_files_only=True)))


def locate_network(where: str) -> tuple[Path, str | None]:
    """Find the folder of one network that stands alone, and the Hub's commit if it comes from there."""
    folder = _folder_or_id(where)
    if isinstance(folder, Path):
        return folder, None
    names = ["config.json", "diffusion_pytorch_model*.safetensors"]
    found = Path(_from_hub(folder, lambda: _snapshot(folder, None, allow_patterns=names)))
    return found, found.name


def with_options(revision: str, spec: BackboneSpec, cache: Path) -> str:
    """The revision of a base model whose options change which networks it has."""
    if not spec.options:
        return revision
    options = dict(spec.options)
    if isinstance(vae := options.get("vae"), str):
        folder, commit = locate_network(vae)
        options["vae"] = commit or content_revision(folder, cache)
    return json_digest([revision, options], 16, ascii_only=True)


def _local(spec: BackboneSpec) -> Path | str:
    """The folder that a spec means, or the Hub id."""
    if spec.path is None and spec.name == "toybox":
        from harness.toybox.loading import pipeline_folder

        try:
            return Path(pipeline_folder())
        except OSError as error:
            raise BackboneError(f"backbone 'toybox': {error}") from error
    return _folder_or_id(spec.path or spec.name)


def _folder_or_id(wanted: str) -> Path | str:
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise BackboneError(f"backbone {wanted!r}: {_single_file(folder)}")
    if folder.is_absolute() or wanted.startswith((".", "~")) or wanted.count("/") != 1:
        raise BackboneError(f"backbone {wanted!r}: no such folder; give toybox, a folder or 'org/name'")
    return wanted


def _single_file(path: Path) -> str:
    """Say why one file is no base model."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            lora = b"lora" in file.read(min(size, 1 << 20)).lower()
    except OSError:
        lora = False
    if lora:
        return "a file of LoRA weights, which change a base model and are none; name the base model's folder"
    return "a single file; give a folder in diffusers' format (from_single_file, then save_pretrained)"


def _from_hub(hub_id: str, request: Callable[[], str]) -> str:
    try:
        return request()
    except Exception as error:  # the Hub has a dozen kinds: offline, gated, missing, bad revision
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackboneError(
            f"backbone {hub_id!r}: no such folder, and it could not be downloaded from the Hub ({reason}); "
            f"to download it beforehand: hf download {hub_id}"
        ) from error


def _download(hub_id: str, revision: str | None, **how: Any) -> str:
    patterns = ["model_index.json", *(f"{part}/{end}" for part in pipeline_parts() for end in FILES)]
    return _snapshot(hub_id, revision, allow_patterns=patterns, **how)


def _snapshot(hub_id: str, revision: str | None, **how: Any) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(hub_id, revision=revision, **how)


def _hub_commit(hub_id: str, revision: str | None) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(_download(hub_id, revision, local_files_only=True)).name
    except LocalEntryNotFoundError:
        return str(HfApi().model_info(hub_id, revision=revision).sha)


def content_revision(folder: Path, cache: Path) -> str:
    """Hash the weights, configuration and vocabulary of a folder to 16 hex digits."""
    files = sorted(path for end in FILES for path in folder.rglob(end) if path.is_file())
    listing = [(path.relative_to(folder).as_posix(), _remembered_digest(path, cache)) for path in files]
    return json_digest(listing, 16, ascii_only=True)


def _remembered_digest(path: Path, cache: Path) -> str:
    """Hash a file's bytes (sha256), remembered on disk by path, size and modification time."""
    stat = path.stat()
    identity = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    note = cache / "digests" / json_digest(identity, 32, ascii_only=True)
    if (known := _noted(note)) is not None:
        return known
    digest = file_digest(path)
    with contextlib.suppress(RecordsError):  # a cache that cannot be written only costs time
        write_atomically(note, f"{digest} {json_digest(digest, 16)}".encode())
    return digest


def _noted(note: Path) -> str | None:
    """Read a digest from its note; None where there is none, or the note's own checksum is wrong."""
    try:
        digest, _, check = note.read_text(errors="replace").partition(" ")
    except OSError:
        return None
    if check == json_digest(digest, 16):
        return digest
    warnings.warn(f"{note}: is damaged: its checksum is wrong; computed again", stacklevel=1)
    return None
