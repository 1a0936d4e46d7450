"""Each fault: what is done to the cluster while songs run. A fault ends when the cluster is as it was before."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from deploy.tools.drill import stores, workers
from deploy.tools.drill.cluster import READY_SECONDS, Cluster
from deploy.tools.drill.records import DrillError, Row

Action = Callable[[Cluster, Row], None]


def _nothing(_cluster: Cluster) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Fault:
    """A row of the table."""

    what: str
    action: Action
    around: Callable[[Cluster], AbstractContextManager[None]] = _nothing  # entered before songs are posted
    on_done: bool = False  # begins once its songs are done, and looks at them again afterwards
    lengths: tuple[float, ...] = ()  # of its songs in `long_seconds`, all posted at once; empty: short ones
    needs: str = ""  # an object of the installation; without it the row is left out
    cuts_power: bool = False


def kill_workers(cluster: Cluster, _row: Row) -> None:
    cluster.kubectl("delete", "pod", *cluster.pods("worker"), "--grace-period=0", "--force")


def roll_out(deployment: str) -> Action:
    def fault(cluster: Cluster, _row: Row) -> None:
        cluster.roll_out(deployment)

    return fault


def delete(part: str, *force: str) -> Action:
    def fault(cluster: Cluster, _row: Row) -> None:
        cluster.kubectl("delete", "pod", "-l", f"app.kubernetes.io/name={part}", *force)

    return fault


def drain(cluster: Cluster, _row: Row) -> None:
    node = cluster.other_node()
    selector = "--pod-selector=app.kubernetes.io/part-of=msaas"
    try:
        cluster.kubectl(
            "drain", node, selector, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={READY_SECONDS}s"
        )
    finally:
        cluster.kubectl("uncordon", node)


def roll_out_api_and_drain(cluster: Cluster, row: Row) -> None:
    cluster.kubectl("rollout", "restart", "deployment/rest-server")
    drain(cluster, row)


def cut_power(of_stores: bool) -> Action:
    def fault(cluster: Cluster, _row: Row) -> None:
        node = cluster.stores_nodes()[0] if of_stores else cluster.other_node()
        switch(cluster.plan.power_off, node)
        try:
            time.sleep(cluster.plan.power_seconds)
        finally:
            switch(cluster.plan.power_on, node)
        cluster.kubectl("wait", "--for=condition=Ready", f"node/{node}", f"--timeout={READY_SECONDS}s")

    return fault


def switch(command: str, node: str) -> None:
    done = subprocess.run([*command.split(), node], stdout=sys.stderr, check=False)
    if done.returncode:
        raise DrillError(f"{command} {node} ended with {done.returncode}")


FOUR = (1.0, 1.0, 1.0, 1.0)  # a song for each of four workers

FAULTS: dict[str, Fault] = {
    "workers-killed": Fault("every worker's pod killed without grace", kill_workers),
    "rollout-workers": Fault("rollout of the workers", roll_out("worker")),
    "rollout-api": Fault("rollout of the API", roll_out("rest-server")),
    "drain": Fault("drain of a node", drain),
    "api-and-drain": Fault("rollout of the API and drain of a node at once", roll_out_api_and_drain),
    "redis-deleted": Fault("Redis' pod deleted", delete("redis")),
    "redis-forced": Fault("Redis' pod deleted by force", delete("redis", "--grace-period=0", "--force")),
    "store-deleted": Fault("the store's pod deleted", delete("minio")),
    "power-workers": Fault("power cut of a node with workers", cut_power(of_stores=False), cuts_power=True),
    "power-stores": Fault("power cut of the node of Redis or the store", cut_power(of_stores=True), cuts_power=True),
    "four-to-one": Fault(
        "four workers become one, each with a long song", workers.become_one, workers.four_workers, lengths=FOUR
    ),
    "redis-failover": Fault(
        "Redis' primary deleted by force, failover by hand to its replica and back",
        stores.fail_over,
        stores.posts_confirmed_by_the_replica,
        needs=stores.REPLICA,
    ),
}
# Only by name: `restore` deletes all songs that are newer than its copy, the others take long.
MEASUREMENTS: dict[str, Fault] = {
    "four": Fault(
        "four workers, each with a long song, and no fault", workers.nothing, workers.four_workers, lengths=FOUR
    ),
    "four-rollout": Fault(
        "rollout of four workers, each with a long song", workers.roll_out_busy, workers.four_workers, lengths=FOUR
    ),
    "four-hasty": Fault(
        "four workers become one, each with a song longer than its grace",
        workers.become_one,
        workers.four_hasty_workers,
        lengths=FOUR,
    ),
    "keda-down": Fault(
        "KEDA takes four workers to one as long songs end",
        workers.let_keda_stop_three,
        workers.four_workers_of_keda,
        lengths=(0.5, 1.0, 1.5, 2.0),
    ),
    "restore": Fault(
        "Redis' data and the store's volume deleted, both restored from their copies",
        stores.restore,
        on_done=True,
        needs="cronjob/backup-songs",
    ),
}
