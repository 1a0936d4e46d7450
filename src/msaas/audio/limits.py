"""What one song may cost: seconds and decoded bytes. No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Counted while decoding, since headers lie. Decoded bytes are float32 at the song's own rate and channels."""

    max_duration_seconds: float = 14_400
    max_decoded_bytes: int = 16_000_000_000
