"""The Lua scripts: each is sent with the shared fragments of its folder before it. Runs none."""

from __future__ import annotations

from importlib import resources
from typing import Any

from redis import Redis

# Folder of lua/ ▸ what stands before each of its scripts, in this order.
FRAGMENTS = {
    "jobs": ("types", "clock", "callbacks/outbox", "quotas/window", "jobs/turns", "jobs/common"),
    "callbacks": ("types", "clock", "callbacks/outbox", "callbacks/ending"),
    "quotas": ("types", "clock", "quotas/window"),
    "workers": ("types", "clock"),
}


def load(redis: Redis, name: str) -> Any:
    """The script `<folder>/<name>`, to be called with `keys` and `args`. Redis gets it once, then its hash."""
    return redis.register_script(source(name))


def source(name: str) -> str:
    folder = resources.files(__package__) / "lua"
    parts = (*FRAGMENTS[name.partition("/")[0]], name)
    return "\n".join((folder / f"{part}.lua").read_text("utf-8") for part in parts)
