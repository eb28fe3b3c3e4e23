"""What exists: methods, subjects, weights, and the fingerprints by which the keys tell them apart.

The protocol is all that the engine knows of the rest of the package; tests bring a catalog of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from harness.settings import BackboneSpec, EncoderSpec


class Catalog(Protocol):
    """Answers for one experiment's data set and encoders. Every question is cheap and needs no torch."""

    def method(self, name: str) -> type[Any]:
        """Return the method class of that name or path; raises HarnessError naming the known ones."""
        ...

    def params(self, name: str, params: Mapping[str, Any], backbone: BackboneSpec) -> dict[str, Any]:
        """Fill in presets and defaults; raises HarnessError for an unknown or ill-typed parameter."""
        ...

    def method_source(self, name: str) -> str | None:
        """Return the text of a user's own method file, None for a method of ``baselines/``."""
        ...

    def subjects(self, split: str) -> list[str]:
        """Return the subjects of a split: ``development``, ``test`` or ``all``."""
        ...

    def shots_identity(self, subject: str, shots: int, seed: int) -> str:
        """Fingerprint of the subject's noun and of the photos that ``shots`` and ``seed`` pick."""
        ...

    def references_identity(self, subject: str) -> str:
        """Fingerprint of the photos that samples of the subject are compared with."""
        ...

    def prompts_identity(self, subject: str) -> str:
        """Fingerprint of the subject's test prompts and of the prior prompts of its class."""
        ...

    def backbone_revision(self, backbone: BackboneSpec) -> str:
        """Which weights these are: a content hash, or the hub's commit."""
        ...

    def encoders(self, backbone: BackboneSpec) -> dict[str, EncoderSpec]:
        """Return the encoder of every kind (``clip``, ``dino``, …) that goes with the backbone."""
        ...

    def encoder_revision(self, encoder: EncoderSpec) -> str:
        """Which weights these are."""
        ...
