"""Seeds as data: a name in, 63 bits out, so that streams with different names never coincide."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def named_seed(purpose: str, *parts: Any) -> int:
    """Hash a purpose and JSON-able parts to a seed in [0, 2⁶³)."""
    digest = hashlib.sha256(json.dumps([purpose, *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
