"""What the namespace may take holds all that it may start, and the API goes before the workers."""

from __future__ import annotations

import pytest

from tests.deploy.conftest import OVERLAYS, container_of, deployments, named, of_kind, pod_of, render, workloads

UNITS = {"m": 0.001, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1}
LIMITED = [overlay for overlay in OVERLAYS if of_kind(render(overlay), "ResourceQuota")]
WITH_CLASSES = [overlay for overlay in OVERLAYS if of_kind(render(overlay), "PriorityClass")]


def amount(text: str) -> float:
    number = text.rstrip("KMGim")
    return float(number) * UNITS[text[len(number) :]]


def peak_pods(workload, manifests) -> int:
    """How many of them there may be at once, an update included."""
    scalers = of_kind(manifests, "ScaledObject", "HorizontalPodAutoscaler")
    spec = workload["spec"]
    for scaler in scalers:
        if scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
            number = scaler["spec"].get("maxReplicaCount") or scaler["spec"]["maxReplicas"]
            break
    else:
        number = spec.get("replicas", 1)
    return number + int(spec.get("strategy", {}).get("rollingUpdate", {}).get("maxSurge", 0))


@pytest.mark.parametrize("overlay", LIMITED)
def test_the_quota_holds_every_pod_that_may_be_started(overlay):
    manifests = render(overlay)
    hard = named(manifests, "ResourceQuota", "msaas")["spec"]["hard"]
    pods = [(container_of(workload)["resources"], peak_pods(workload, manifests)) for workload in workloads(manifests)]
    assert sum(number for _, number in pods) <= amount(hard["pods"])
    for group in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            needed = sum(amount(resources[group][resource]) * number for resources, number in pods)
            assert needed <= amount(hard[f"{group}.{resource}"]), (group, resource)


@pytest.mark.parametrize("overlay", LIMITED)
def test_the_quota_holds_the_volumes(overlay):
    hard = named(render(overlay), "ResourceQuota", "msaas")["spec"]["hard"]
    claims = [
        claim["spec"]["resources"]["requests"]["storage"]
        for workload in workloads(render(overlay))
        for claim in workload["spec"].get("volumeClaimTemplates", [])
    ]
    assert len(claims) <= amount(hard["persistentvolumeclaims"])
    assert sum(map(amount, claims)) <= amount(hard["requests.storage"])


@pytest.mark.parametrize("overlay", LIMITED)
def test_no_container_asks_for_more_than_one_may(overlay):
    [limits] = named(render(overlay), "LimitRange", "msaas")["spec"]["limits"]
    for workload in workloads(render(overlay)):
        for resource, most in limits["max"].items():
            assert amount(container_of(workload)["resources"]["limits"][resource]) <= amount(most)


@pytest.mark.parametrize("overlay", WITH_CLASSES)
def test_the_api_and_the_stores_go_before_the_workers(overlay):
    manifests = render(overlay)
    classes = {found["metadata"]["name"]: found for found in of_kind(manifests, "PriorityClass")}
    values = {
        workload["metadata"]["name"]: classes[pod_of(workload)["spec"]["priorityClassName"]]["value"]
        for workload in of_kind(manifests, "Deployment", "StatefulSet")
    }
    worker = values.pop("worker")
    assert set(values) >= {"rest-server", "redis", "minio"}
    assert all(value > worker > 0 for value in values.values())
    assert classes["msaas-worker"]["preemptionPolicy"] == "Never"
    assert not any(found.get("globalDefault") for found in classes.values())


def test_the_apis_number_is_the_autoscalers_alone():
    manifests = render("full")
    scaler = named(manifests, "HorizontalPodAutoscaler", "rest-server")["spec"]
    api = named(manifests, "Deployment", scaler["scaleTargetRef"]["name"])
    assert "replicas" not in api["spec"], "an apply would set the autoscaler's number back"
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    [metric] = scaler["metrics"]
    limit = container_of(api)["resources"]["limits"]["cpu"]
    assert amount(metric["resource"]["target"]["averageValue"]) < amount(limit)


@pytest.mark.parametrize("overlay", ["production", "full", "cluster-test"])
@pytest.mark.parametrize("part", ["rest-server", "worker"])
def test_apis_and_workers_spread_over_the_nodes_and_start_all_the_same_where_they_cannot(overlay, part):
    [deployment] = deployments(render(overlay), part)
    [spread] = pod_of(deployment)["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname" and spread["whenUnsatisfiable"] == "ScheduleAnyway"
    assert spread["labelSelector"]["matchLabels"].items() <= pod_of(deployment)["metadata"]["labels"].items()
