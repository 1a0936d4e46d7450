"""docs/kubernetes.md says of the manifests what is in them: its table of workloads, its names, its numbers."""

from __future__ import annotations

import re

import pytest

from tests.deploy.conftest import (
    DEPLOY,
    OVERLAYS,
    REPOSITORY,
    container_of,
    named,
    pod_of,
    ports,
    probes,
    render,
    workloads,
)

TEXT = (REPOSITORY / "docs" / "kubernetes.md").read_text(encoding="utf-8")
MISSES_BEFORE_DEAD = ("startupProbe", "livenessProbe")


def table() -> dict[str, dict[str, str]]:
    """workload ▸ row ▸ cell, of the table `Every workload`."""
    section = TEXT.partition("## Every workload")[2].partition("\n## ")[0]
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|") and line.count("|") > 6
    ]
    return {name: {row[0]: row[place] for row in rows} for place, name in enumerate(head) if name}


WORKLOADS = table()


@pytest.fixture(params=sorted(WORKLOADS))
def documented(request):
    """A workload of the base, and its column."""
    [found] = [one for one in workloads(render("base")) if one["metadata"]["name"] == request.param]
    return found, WORKLOADS[request.param]


def test_the_table_has_every_workload_and_no_other():
    assert set(WORKLOADS) == {workload["metadata"]["name"] for workload in workloads(render("base"))}


def test_kind_and_replicas_are_as_told(documented):
    workload, column = documented
    kind, replicas = workload["kind"], workload["spec"].get("replicas", "once")
    assert column["kind"].startswith(f"{kind}, {replicas}")


def test_ports_are_as_told(documented):
    workload, column = documented
    assert {int(number) for number in re.findall(r"\d{4}", column["port"])} == set(ports(workload).values())


def test_requests_and_limits_are_as_told(documented):
    workload, column = documented
    resources = container_of(workload)["resources"]
    assert column["asks for"] == amounts(resources["requests"])
    assert column["limit"].partition(";")[0] == amounts(resources["limits"])


def test_gpu_and_production_are_as_told():
    gpu = container_of(named(render("gpu"), "Deployment", "worker"))["resources"]["limits"]
    assert WORKLOADS["worker"]["limit"].partition("; GPU ")[2] == amounts(gpu)
    production = named(render("production"), "Deployment", "rest-server")
    assert f"production {production['spec']['replicas']}" in WORKLOADS["rest-server"]["kind"]
    scaled = named(render("keda"), "ScaledObject", "worker")["spec"]
    assert f"KEDA {scaled['minReplicaCount']} to {scaled['maxReplicaCount']}" in WORKLOADS["worker"]["kind"]


def test_probes_and_their_patience_are_as_told(documented):
    workload, column = documented
    asked = {"startupProbe": "startup", "readinessProbe": "ready", "livenessProbe": "alive"}
    for name, row in asked.items():
        probe = probes(workload).get(name)
        assert (probe is None) == (column[row] == ""), row
        if probe is None:
            continue
        if "httpGet" in probe:
            assert f"`{probe['httpGet']['path']}`" in column[row]
        seconds = re.search(r"(\d+) s", column[row])
        if name in MISSES_BEFORE_DEAD and seconds:
            assert int(seconds[1]) == probe["periodSeconds"] * probe["failureThreshold"]


def test_volumes_are_as_told(documented):
    workload, column = documented
    sizes = [
        claim["spec"]["resources"]["requests"]["storage"] for claim in workload["spec"].get("volumeClaimTemplates", [])
    ] + [volume["emptyDir"]["sizeLimit"] for volume in pod_of(workload)["spec"].get("volumes", [])]
    assert re.findall(r"\d+ [GM]i", column["disk"]) == [spaced(size) for size in sizes]


def test_the_grace_and_the_user_are_as_told(documented):
    workload, column = documented
    spec = pod_of(workload)["spec"]
    assert column["grace"].startswith(f"{spec.get('terminationGracePeriodSeconds', 30)} s")
    assert column["runs as"].startswith(f"{spec['securityContext']['runAsUser']}, restricted")


def test_every_component_and_overlay_is_named():
    components = {path.parent.name for path in (DEPLOY / "components").glob("*/kustomization.yaml")}
    for name in components | set(OVERLAYS[1:]):
        assert f"`{name}`" in TEXT, name


def test_every_tool_that_is_named_is_there():
    named_ones = set(re.findall(r"(?:^|[`/ ])([a-z_-]+\.sh|redis_memory\.py)\b", TEXT, re.M))
    assert len(named_ones) > 5
    for name in named_ones:
        assert (DEPLOY / "tools" / name).is_file() or (REPOSITORY / name).is_file(), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_secret_is_in_the_table_with_its_keys(overlay):
    for workload in workloads(render(overlay)):
        for entry in container_of(workload).get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{reference['name']}`")]
                assert f"`{reference['key']}`" in row


def amounts(resources: dict[str, str]) -> str:
    cpu = resources["cpu"]
    number = int(cpu.removesuffix("m")) / 1000 if cpu.endswith("m") else float(cpu)
    return f"{number:g} CPU, {spaced(resources['memory'])}"


def spaced(size: str) -> str:
    return re.sub(r"(\d+)([A-Za-z]+)", r"\1 \2", size)
