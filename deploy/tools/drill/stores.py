"""Redis fails over to its replica by hand, and Redis and the store are put back from their copies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from deploy.tools.drill.cluster import READY_SECONDS, Cluster
from deploy.tools.drill.records import DrillError, Row
from deploy.tools.drill.workers import any_number_of_workers, environment, set_workers, wait_for

API, REDIS, STORE, REPLICA = (
    "deployment/rest-server",
    "statefulset/redis",
    "statefulset/minio",
    "statefulset/redis-replica",
)
BEFORE_REPAIR_SECONDS = 10
SYNCHRONISED = "state=online"


@contextmanager
def posts_confirmed_by_the_replica(cluster: Cluster) -> Iterator[None]:
    with environment(cluster, API, "MSAAS_REDIS_REPLICAS", "1"):
        wait_for(lambda: SYNCHRONISED in replication(cluster, "redis"), "the replica does not follow Redis")
        yield


def fail_over(cluster: Cluster, _row: Row) -> None:
    """The replica takes the place of a primary that is gone, which returns as a replica and takes its place back."""
    cluster.kubectl("scale", REDIS, "--replicas=0")
    cluster.kubectl("delete", "pod", "redis-0", "--grace-period=0", "--force", "--ignore-not-found")
    redis_cli(cluster, "redis-replica", "replicaof no one")
    serve_by(cluster, "redis-replica")
    time.sleep(BEFORE_REPAIR_SECONDS)  # songs run on one Redis; nothing is posted, because nothing confirms it
    cluster.kubectl("scale", REDIS, "--replicas=1")
    cluster.wait_rolled_out(REDIS)
    follow(cluster, "redis", "redis-replica")
    wait_for(lambda: SYNCHRONISED in replication(cluster, "redis-replica"), "the old primary does not follow")
    time.sleep(BEFORE_REPAIR_SECONDS)  # songs are posted again
    fail_back(cluster)


def fail_back(cluster: Cluster) -> None:
    redis_cli(cluster, "redis-replica", "failover timeout 10000")
    wait_for(lambda: "role:master" in replication(cluster, "redis"), "Redis did not take over again")
    serve_by(cluster, "redis")
    redis_cli(cluster, "redis-replica", "client kill type normal")  # they would be refused writes
    follow(cluster, "redis-replica", "redis-primary")


def serve_by(cluster: Cluster, part: str) -> None:
    """From now on, the Service `redis` is this one's."""
    cluster.patch("service/redis", {"spec": {"selector": {"app.kubernetes.io/name": part}}})


def follow(cluster: Cluster, part: str, primary: str) -> None:
    """primary: a Service, whose name stays when its pod's address changes."""
    authenticate = '[ -z "$REDISCLI_AUTH" ] || redis-cli -e config set masterauth "$REDISCLI_AUTH"'
    in_pod(cluster, part, f"{authenticate}; redis-cli -e replicaof {primary} 6379")


def replication(cluster: Cluster, part: str) -> str:
    return redis_cli(cluster, part, "info replication")


def redis_cli(cluster: Cluster, part: str, command: str) -> str:
    return in_pod(cluster, part, f"redis-cli -e {command}")


def in_pod(cluster: Cluster, part: str, script: str) -> str:
    return cluster.kubectl("exec", f"{part}-0", "--", "sh", "-ec", script)


# --- copies


def restore(cluster: Cluster, _row: Row) -> None:
    """Copies Redis and the buckets, deletes both, and puts them back."""
    for name in ("backup", "backup-songs"):
        run_job(cluster, name)
    apis = cluster.field(API, ".spec.replicas")
    with any_number_of_workers(cluster):
        set_workers(cluster, 0)
        cluster.kubectl("scale", API, "--replicas=0")
        wait_for(lambda: not cluster.pods("worker") and not cluster.pods("rest-server"), "API and workers do not stop")
        redis_cli(cluster, "redis", "flushall")
        scale_to_none(cluster, "redis", "minio")
        cluster.kubectl("delete", "persistentvolumeclaim", "data-minio-0")
        cluster.kubectl("scale", STORE, "--replicas=1")
        cluster.wait_rolled_out(STORE)
        for name in ("restore", "restore-songs"):
            run_job(cluster, name)
        cluster.kubectl("scale", REDIS, "--replicas=1")
        cluster.kubectl("scale", API, f"--replicas={apis}")
    cluster.wait_ready()


def scale_to_none(cluster: Cluster, *parts: str) -> None:
    for part in parts:
        cluster.kubectl("scale", f"statefulset/{part}", "--replicas=0")
    for part in parts:
        cluster.kubectl("wait", "--for=delete", f"pod/{part}-0", f"--timeout={READY_SECONDS}s")


def run_job(cluster: Cluster, name: str) -> None:
    job = f"job/{name}-drill"
    cluster.kubectl("delete", job, "--ignore-not-found")
    cluster.kubectl("create", "job", f"{name}-drill", f"--from=cronjob/{name}")
    ended = partial(cluster.field, job, ".status.conditions[*].type")
    wait_for(lambda: {"Complete", "Failed"} & set(ended().split()), f"{job} does not end")
    if "Failed" in ended().split():
        raise DrillError(f"{job} failed: {cluster.kubectl('logs', job, '--tail=20').strip()}")
    cluster.kubectl("delete", job)
