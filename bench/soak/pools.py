"""Fills the API's connection pools, so that a later increase of its descriptors is a leak.

A pool keeps a connection for each thread that was ever busy with the server at the same time. Without this, the number
follows the busiest moment so far and increases for hours. While a server is paused, each request needs a connection of
its own.
"""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
import uuid

from msaas.local.servers import LOOPBACK

PAUSE_SECONDS = 1.5  # the API waits 3 s for Redis, 10 s for the store
CALLS_PER_KEY = 12  # four tenants and the threads of one caller: more than the soak's clients need


def fill_pools(port: int, keys: dict[str, str], pids: dict[str, int]) -> None:
    """`keys` by tenant, with `admin`; `pids` of `valkey` and `store`."""
    tenants = [key for name, key in keys.items() if name != "admin"]
    unknown = f"/apiv1/jobs/{uuid.uuid4()}"
    _pause(pids["valkey"], [_call(port, key, unknown) for key in tenants for _ in range(CALLS_PER_KEY)])
    _pause(pids["store"], [_call(port, keys["admin"], "/apiv1/bucket?limit=1") for _ in range(2 * CALLS_PER_KEY)])


def _pause(pid: int, calls: list[threading.Thread]) -> None:
    os.kill(pid, signal.SIGSTOP)
    try:
        for call in calls:
            call.start()
        time.sleep(PAUSE_SECONDS)
    finally:
        os.kill(pid, signal.SIGCONT)
    for call in calls:
        call.join()


def _call(port: int, key: str, path: str) -> threading.Thread:
    return threading.Thread(target=_get, args=(port, key, path))


def _get(port: int, key: str, path: str) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
    connection.getresponse().read()
    connection.close()
