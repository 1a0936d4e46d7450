"""KEDA is told what waits and what is in work, in its own words."""

from __future__ import annotations

import pytest

from msaas.queue import LEASES, MIX_KEYS, WAITING
from tests.deploy.conftest import OVERLAYS, container_of, deployments, named, of_kind, render, workloads


@pytest.mark.parametrize("overlay", ["keda", "full"])
def test_scaling_adds_what_waits_and_what_is_in_work(overlay):
    scaled = named(render(overlay), "ScaledObject", "worker")["spec"]
    watched = {trigger["name"]: trigger["metadata"] for trigger in scaled["triggers"]}
    assert {trigger["listName"] for trigger in watched.values()} == {WAITING, LEASES, MIX_KEYS[0], MIX_KEYS[2]}
    modifiers = scaled["advanced"]["scalingModifiers"]
    assert set(modifiers["formula"].split(" + ")) == set(watched)
    assert (scaled["minReplicaCount"], modifiers["target"]) == (0, "1")
    worker = named(render(overlay), "Deployment", scaled["scaleTargetRef"]["name"])
    assert "replicas" not in worker["spec"], "an apply would set KEDA's number back"
    for trigger in scaled["triggers"]:
        host, _, port = trigger["metadata"]["address"].partition(":")
        assert (host, port) == ("redis.msaas.svc", "6379")
        authentication = named(render(overlay), "TriggerAuthentication", trigger["authenticationRef"]["name"])
        assert authentication["spec"]["secretTargetRef"] == [
            {"parameter": "password", "name": "msaas-redis", "key": "password"}
        ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_update_of_the_workers_needs_no_room_for_another(overlay):
    """A node may be too full for it, and the update would never end."""
    for worker in deployments(render(overlay), "worker"):
        update = worker["spec"]["strategy"]["rollingUpdate"]
        assert update["maxSurge"] == 0 and update["maxUnavailable"] in (1, "25%")


def test_an_update_fits_on_a_node_of_two_processors_and_four_gibibytes():
    """All parts, and what a rolling update starts beside them; a tenth is left to the node's own."""
    cpu, memory = 0.0, 0.0
    for workload in workloads(render("base")):
        requests = container_of(workload)["resources"]["requests"]
        surge = workload["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0)
        pods = workload["spec"].get("replicas", 1) + surge
        cpu += pods * (float(requests["cpu"].removesuffix("m")) / (1000 if requests["cpu"].endswith("m") else 1))
        memory += pods * float(requests["memory"][:-2]) * {"Mi": 2**20, "Gi": 2**30}[requests["memory"][-2:]]
    assert cpu <= 1.8 and memory <= 0.9 * 4 * 2**30


@pytest.mark.parametrize("overlay", ["production", "full"])
def test_a_budget_never_keeps_a_node_from_being_drained(overlay):
    manifests = render(overlay)
    budgets = {found["metadata"]["name"]: found["spec"] for found in of_kind(manifests, "PodDisruptionBudget")}
    assert set(budgets) == {"rest-server", "worker"}
    scaled = of_kind(manifests, "HorizontalPodAutoscaler")
    replicas = named(manifests, "Deployment", "rest-server")["spec"].get("replicas") or scaled[0]["spec"]["minReplicas"]
    assert budgets["rest-server"]["minAvailable"] < replicas
    assert budgets["worker"]["maxUnavailable"].endswith("%")  # Kubernetes rounds it up: one of one may go
