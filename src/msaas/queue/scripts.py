"""Loads the Lua scripts, each with its folder's shared fragments before it. Runs none."""

from __future__ import annotations

from importlib import resources
from typing import Any

from redis import Redis

# folder of lua/ ▸ fragments concatenated before each of its scripts, in this order
FRAGMENTS = {
    "jobs": ("types", "clock", "callbacks/outbox", "quotas/window", "jobs/turns", "jobs/common"),
    "callbacks": ("types", "clock", "callbacks/outbox", "callbacks/ending"),
    "quotas": ("types", "clock", "quotas/window"),
    "workers": ("types", "clock"),
    "idempotency": ("types", "clock"),
    "uploads": ("types", "clock", "uploads/common"),
}


def load(redis: Redis, name: str) -> Any:
    """The script `<folder>/<name>`, called with `keys` and `args`. It is sent to Redis once, then its hash."""
    return redis.register_script(source(name))


def source(name: str) -> str:
    folder = resources.files(__package__) / "lua"
    parts = (*FRAGMENTS[name.partition("/")[0]], name)
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
