"""Each fault: what is done to the cluster while songs run. A fault ends when the cluster has been put right again."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from deploy.tools.drill.cluster import READY_SECONDS, Cluster
from deploy.tools.drill.records import DrillError

Fault = Callable[[Cluster], None]


def kill_workers(cluster: Cluster) -> None:
    cluster.kubectl("delete", "pod", *cluster.pods("worker"), "--grace-period=0", "--force")


def roll_out(deployment: str) -> Fault:
    def fault(cluster: Cluster) -> None:
        cluster.kubectl("rollout", "restart", f"deployment/{deployment}")
        cluster.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={READY_SECONDS}s")

    return fault


def delete(part: str, *force: str) -> Fault:
    def fault(cluster: Cluster) -> None:
        cluster.kubectl("delete", "pod", "-l", f"app.kubernetes.io/name={part}", *force)

    return fault


def drain(cluster: Cluster) -> None:
    node = cluster.other_node()
    selector = "--pod-selector=app.kubernetes.io/part-of=msaas"
    try:
        cluster.kubectl(
            "drain", node, selector, "--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={READY_SECONDS}s"
        )
    finally:
        cluster.kubectl("uncordon", node)


def roll_out_api_and_drain(cluster: Cluster) -> None:
    cluster.kubectl("rollout", "restart", "deployment/rest-server")
    drain(cluster)


def cut_power(of_stores: bool) -> Fault:
    def fault(cluster: Cluster) -> None:
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


FAULTS: dict[str, tuple[str, Fault]] = {
    "workers-killed": ("every worker's pod killed without grace", kill_workers),
    "rollout-workers": ("rollout of the workers", roll_out("worker")),
    "rollout-api": ("rollout of the API", roll_out("rest-server")),
    "drain": ("drain of a node", drain),
    "api-and-drain": ("rollout of the API and drain of a node at once", roll_out_api_and_drain),
    "redis-deleted": ("Redis' pod deleted", delete("redis")),
    "redis-forced": ("Redis' pod deleted by force", delete("redis", "--grace-period=0", "--force")),
    "store-deleted": ("the store's pod deleted", delete("minio")),
    "power-workers": ("power cut of a node with workers", cut_power(of_stores=False)),
    "power-stores": ("power cut of the node of Redis or the store", cut_power(of_stores=True)),
}
NEED_POWER = {"power-workers", "power-stores"}
