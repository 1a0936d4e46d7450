"""Limits for one song: seconds, decoded bytes and memory. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Enforced while decoding, since headers can be wrong. Decoded bytes: float32 at the song's rate and channels."""

    max_duration_seconds: float = 14_400
    max_decoded_bytes: int = 16_000_000_000
    memory_bytes: int = 1_000_000_000  # address space that decoding may use beyond its process's initial size
