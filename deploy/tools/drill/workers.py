"""Four workers, each with a long song: how many songs are returned or late when workers are stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deploy.tools.drill.cluster import READY_SECONDS, Cluster
from deploy.tools.drill.records import DrillError, Row

WORKER, SCALER = "deployment/worker", "scaledobject/worker"
PAUSED = "autoscaling.keda.sh/paused-replicas"  # the number of workers, in place of what KEDA finds
GRACE = "MSAAS_GRACE_SECONDS"
SHORT_GRACE = "5"
POLL_SECONDS = 0.5


@contextmanager
def four_workers(cluster: Cluster) -> Iterator[None]:
    with any_number_of_workers(cluster):
        set_workers(cluster, 4)
        cluster.wait_rolled_out(WORKER)
        yield


@contextmanager
def four_hasty_workers(cluster: Cluster) -> Iterator[None]:
    """Their grace is shorter than a song."""
    with environment(cluster, WORKER, GRACE, SHORT_GRACE), four_workers(cluster):
        yield


@contextmanager
def four_workers_of_keda(cluster: Cluster) -> Iterator[None]:
    """KEDA may have four, and stops them without its five quiet minutes."""
    if not cluster.has(SCALER):
        raise DrillError("there is no ScaledObject: the component keda is not installed")
    with patched(cluster, {"minReplicaCount": 4, "maxReplicaCount": 4}, {"stabilizationWindowSeconds": 0}):
        wait_for(lambda: len(cluster.pods("worker")) == 4, "KEDA did not start four workers")
        cluster.wait_rolled_out(WORKER)
        yield


def nothing(_cluster: Cluster, row: Row) -> None:
    wait_busy(row)


def become_one(cluster: Cluster, row: Row) -> None:
    wait_busy(row)
    set_workers(cluster, 1)


def roll_out_busy(cluster: Cluster, row: Row) -> None:
    wait_busy(row)
    cluster.roll_out("worker")


def let_keda_stop_three(cluster: Cluster, row: Row) -> None:
    wait_busy(row)
    cluster.patch(SCALER, {"spec": {"minReplicaCount": 1}})
    wait_for(lambda: len(cluster.pods("worker")) == 1, "KEDA did not stop three workers")


def wait_busy(row: Row) -> None:
    wait_for(lambda: sum(song.state == "running" for song in row.songs) == 4, "four songs were not separated at once")


def wait_for(condition: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DrillError(otherwise)
        time.sleep(POLL_SECONDS)


@contextmanager
def any_number_of_workers(cluster: Cluster) -> Iterator[None]:
    """Puts back who decides on their number, and without KEDA the number."""
    before = int(cluster.field(WORKER, ".spec.replicas"))
    try:
        yield
    finally:
        if cluster.has(SCALER):
            cluster.kubectl("annotate", SCALER, f"{PAUSED}-")
        else:
            set_workers(cluster, before)


def set_workers(cluster: Cluster, number: int) -> None:
    if cluster.has(SCALER):
        cluster.kubectl("annotate", SCALER, f"{PAUSED}={number}", "--overwrite")
        wait_for(
            lambda: cluster.field(WORKER, ".spec.replicas") == str(number), "KEDA did not change the number of workers"
        )
    else:
        cluster.kubectl("scale", WORKER, f"--replicas={number}")


@contextmanager
def environment(cluster: Cluster, workload: str, name: str, value: str) -> Iterator[None]:
    """The workload with this setting; afterwards as before."""
    before = cluster.field(workload, f'.spec.template.spec.containers[0].env[?(@.name=="{name}")].value')
    cluster.kubectl("set", "env", workload, f"{name}={value}")
    try:
        cluster.wait_rolled_out(workload)
        yield
    finally:
        cluster.kubectl("set", "env", workload, f"{name}={before}" if before else f"{name}-")


@contextmanager
def patched(cluster: Cluster, numbers: dict[str, int], scale_down: dict[str, int]) -> Iterator[None]:
    """The ScaledObject with these fields; afterwards as before."""
    behavior = ".spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown"
    old_numbers = {name: number(cluster.field(SCALER, f".spec.{name}")) for name in numbers}
    old_scale_down = {name: number(cluster.field(SCALER, f"{behavior}.{name}")) for name in scale_down}
    cluster.patch(SCALER, scaler(numbers, scale_down))
    try:
        yield
    finally:
        cluster.patch(SCALER, scaler(old_numbers, old_scale_down))


def number(text: str) -> int | None:
    return int(text) if text else None


def scaler(numbers: object, scale_down: object) -> dict[str, dict[str, object]]:
    behavior = {"behavior": {"scaleDown": scale_down}}
    return {"spec": {**dict(numbers), "advanced": {"horizontalPodAutoscalerConfig": behavior}}}  # type: ignore[call-overload]
