"""Jobs in Redis: the waiting list, leases, attempts, dead letters. Independent of audio and HTTP."""

from msaas.queue.backoff import Backoff
from msaas.queue.keys import (
    BATCH_KEYS,
    BATCHES,
    DEAD,
    EVENTS,
    FENCE,
    FETCH_KEYS,
    FETCHES,
    KEYS,
    LEASES,
    MIX_KEYS,
    MIXES,
    MODELS,
    PACE,
    PROCESSING,
    WAITING,
)
from msaas.queue.observer import QueueObserver
from msaas.queue.queue import RETIRE_SECONDS, Queue
from msaas.queue.records import NO_CALLBACK, NO_LIMITS, Admission, Claim, Counts, Submission, Submitted
from msaas.redis_client import connect

__all__ = [
    "BATCHES",
    "BATCH_KEYS",
    "DEAD",
    "EVENTS",
    "FENCE",
    "FETCHES",
    "FETCH_KEYS",
    "KEYS",
    "LEASES",
    "MIXES",
    "MIX_KEYS",
    "MODELS",
    "NO_CALLBACK",
    "NO_LIMITS",
    "PACE",
    "PROCESSING",
    "RETIRE_SECONDS",
    "WAITING",
    "Admission",
    "Backoff",
    "Claim",
    "Counts",
    "Queue",
    "QueueObserver",
    "Submission",
    "Submitted",
    "connect",
]
