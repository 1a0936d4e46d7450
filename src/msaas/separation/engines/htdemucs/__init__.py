"""HTDemucs' forward, made again for speed: the module's own weights and arithmetic, another layout. Trains nothing.

Follows demucs.htdemucs.HTDemucs.forward (demucs 4.1). What differs is where numbers lie in memory: channels come last
from end to end, so that 1 × 1 convolutions and attention are plain matrix products, the residual branches need no
transposing, and what works on single rows stays in the cache. docs/performance.md has each step with its gain.
"""

from msaas.separation.engines.htdemucs.network import ChannelsLast, Unsupported

__all__ = ["ChannelsLast", "Unsupported"]
