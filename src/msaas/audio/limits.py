"""What one song may cost: seconds, decoded bytes and memory. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Counted while decoding, since headers lie. Decoded bytes are float32 at the song's own rate and channels."""

    max_duration_seconds: float = 14_400
    max_decoded_bytes: int = 16_000_000_000
    memory_bytes: int = 1_000_000_000  # address space that decoding may take beyond what its process begins with
