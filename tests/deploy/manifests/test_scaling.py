"""KEDA is told what waits and what is in work, in its own words."""

from __future__ import annotations

import pytest

from msaas.queue import LEASES, WAITING
from tests.deploy.conftest import named, of_kind, render


@pytest.mark.parametrize("overlay", ["keda", "full"])
def test_scaling_adds_what_waits_and_what_is_in_work(overlay):
    scaled = named(render(overlay), "ScaledObject", "worker")["spec"]
    watched = {trigger["name"]: trigger["metadata"] for trigger in scaled["triggers"]}
    assert {trigger["listName"] for trigger in watched.values()} == {WAITING, LEASES}
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


@pytest.mark.parametrize("overlay", ["production", "full"])
def test_a_budget_never_keeps_a_node_from_being_drained(overlay):
    manifests = render(overlay)
    budgets = {found["metadata"]["name"]: found["spec"] for found in of_kind(manifests, "PodDisruptionBudget")}
    assert set(budgets) == {"rest", "worker"}
    assert budgets["rest"]["minAvailable"] < named(manifests, "Deployment", "rest")["spec"]["replicas"]
    assert budgets["worker"]["maxUnavailable"].endswith("%")  # Kubernetes rounds it up: one of one may go
