"""HTDemucs' forward, rewritten for speed: the module's own weights and arithmetic in another memory layout.

Follows demucs.htdemucs.HTDemucs.forward (demucs 4.1). Channels come last throughout, so that 1 × 1 convolutions and
attention are plain matrix products, residual branches need no transposition, and operations on single rows stay in the
cache. docs/performance.md lists each step with its gain.
"""

from msaas.separation.engines.htdemucs.network import ChannelsLast, Unsupported
from msaas.separation.engines.htdemucs.products import has_wide_tokens

__all__ = ["ChannelsLast", "Unsupported", "has_wide_tokens"]
