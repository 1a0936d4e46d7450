"""HTDemucs' forward, rewritten for speed: the module's own weights and arithmetic in another memory layout.

Follows demucs.htdemucs.HTDemucs.forward (demucs 4.1). Channels come last throughout, so that 1 × 1 convolutions and
attention are plain matrix products, residual branches need no transposition, and operations on single rows stay in the
cache. docs/performance.md lists each step with its gain.
"""

from msaas.separation.engines.htdemucs.network import ChannelsLast, Unsupported

__all__ = ["ChannelsLast", "Unsupported"]
