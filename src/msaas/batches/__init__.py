"""Batches: many songs with one ID to follow, one callback at the end, and one call to cancel them."""

from msaas.batches.batches import Batches, BatchFollower
from msaas.batches.records import Batch, SongState, counts_of

__all__ = ["Batch", "BatchFollower", "Batches", "SongState", "counts_of"]
