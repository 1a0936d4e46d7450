"""The cluster, by kubectl."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass

from deploy.tools.drill.records import DrillError, Plan

WORKLOADS = ("statefulset/redis", "statefulset/minio", "deployment/rest-server", "deployment/worker")
READY_SECONDS = 600


@dataclass(frozen=True)
class Cluster:
    plan: Plan

    def kubectl(self, *arguments: str) -> str:
        done = subprocess.run(kubectl_command(self.plan, *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise DrillError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def pods(self, part: str) -> dict[str, str]:
        """name ▸ node of a part's pods that run."""
        found = json.loads(self.kubectl("get", "pods", "-l", f"app.kubernetes.io/name={part}", "-o", "json"))
        return {
            pod["metadata"]["name"]: pod["spec"]["nodeName"]
            for pod in found["items"]
            if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        }

    def stores_nodes(self) -> list[str]:
        return sorted({node for part in ("redis", "minio") for node in self.pods(part).values()})

    def other_node(self) -> str:
        """A node with a worker or an API, and without Redis and the store where there is one.

        After an earlier drain, all of them may stand beside Redis and the store, whose volumes may be bound to their
        node: a restart spreads them first.
        """
        if self._best_node() in self.stores_nodes() and self._nodes() > 1:
            self.roll_out("rest-server")
            self.roll_out("worker")
        return self._best_node()

    def _best_node(self) -> str:
        ours = [node for part in ("worker", "rest-server") for node in self.pods(part).values()]
        stores = self.stores_nodes()
        return sorted(ours, key=lambda node: (node in stores, ours.index(node)))[0]

    def _nodes(self) -> int:
        return len(self.kubectl("get", "nodes", "-o", "name").split())

    def roll_out(self, deployment: str) -> None:
        self.kubectl("rollout", "restart", f"deployment/{deployment}")
        self.wait_rolled_out(f"deployment/{deployment}")

    def wait_rolled_out(self, workload: str) -> None:
        self.kubectl("rollout", "status", workload, f"--timeout={READY_SECONDS}s")

    def has(self, thing: str) -> bool:
        """thing: kind/name. False too where the cluster does not know the kind."""
        try:
            return bool(self.kubectl("get", thing, "--ignore-not-found", "-o", "name").strip())
        except DrillError as error:
            if "doesn't have a resource type" in str(error):
                return False
            raise

    def field(self, thing: str, path: str) -> str:
        """As text, empty if there is none. path: of jsonpath, such as .spec.replicas."""
        return self.kubectl("get", thing, "-o", f"jsonpath={{{path}}}").strip()

    def patch(self, thing: str, patch: object) -> None:
        """A JSON merge patch: None deletes a field."""
        self.kubectl("patch", thing, "--type=merge", "-p", json.dumps(patch))

    def wait_ready(self) -> None:
        for workload in WORKLOADS:
            if self.has(workload):
                self.wait_rolled_out(workload)


def kubectl_command(plan: Plan, *arguments: str) -> list[str]:
    context = ["--context", plan.context] if plan.context else []
    return ["kubectl", *context, "--namespace", plan.namespace, *arguments]
