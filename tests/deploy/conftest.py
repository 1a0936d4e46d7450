"""The manifests as a cluster would get them: every overlay rendered once by the kubectl that came with the tests."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from msaas.auth.keys import new_key
from msaas.callbacks.signing import new_secret
from tests.support.kubectl import Stub

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY = REPOSITORY / "deploy"
OVERLAYS = ("base", *sorted(path.parent.name for path in (DEPLOY / "overlays").glob("*/kustomization.yaml")))
OURS = ("rest", "worker", "logs")
# What has to read as something: others may hold any word.
SECRETS = {"msaas-callback-secrets": new_secret(), "msaas-api-keys": new_key("somebody", ["use"])[1].line}
HELPERS = {"API_KEYS", "KEEP_DAYS"}  # variables for other variables and for commands: no settings

REFERENCE = re.compile(r"\$\(([A-Z_]+)\)")

Manifest = dict[str, Any]
Render = Callable[[str], list[Manifest]]


def tool(name: str) -> str:
    """One that the [dev] extra installs; never another of the same name on the PATH."""
    return str(Path(sysconfig.get_path("scripts")) / name)


@cache
def render(overlay: str) -> list[Manifest]:
    folder = DEPLOY / "base" if overlay == "base" else DEPLOY / "overlays" / overlay
    done = subprocess.run([tool("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(manifests: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] == name]
    return found


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return of_kind(manifests, "Deployment", "StatefulSet", "Job", "CronJob")


def pod_of(workload: Manifest) -> Manifest:
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def container_of(workload: Manifest) -> Manifest:
    [container] = pod_of(workload)["spec"]["containers"]
    return container


def is_ours(workload: Manifest) -> bool:
    return container_of(workload)["image"].rpartition("/")[2].startswith("msaas-") and (
        "standin" not in container_of(workload)["image"]
    )


def deployments(manifests: list[Manifest], name: str) -> list[Manifest]:
    """One or none: not every overlay has it."""
    return [found for found in of_kind(manifests, "Deployment") if found["metadata"]["name"] == name]


def probes(workload: Manifest) -> Manifest:
    return {name: probe for name, probe in container_of(workload).items() if name.endswith("Probe")}


def ports(workload: Manifest) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container_of(workload).get("ports", [])}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def settings_map(manifests: list[Manifest]) -> dict[str, str]:
    [found] = [
        manifest
        for manifest in of_kind(manifests, "ConfigMap")
        if manifest["metadata"]["name"].startswith("msaas-settings")
    ]
    return found["data"]


def environment_of(workload: Manifest, manifests: list[Manifest]) -> dict[str, str]:
    """What the container would see. Secrets hold a sample, resource fields their own number of CPUs."""
    container = container_of(workload)
    found = dict(settings_map(manifests)) if container.get("envFrom") else {}
    for entry in container.get("env", []):
        value = entry["value"] if "value" in entry else _value_from(entry["valueFrom"], container)
        found[entry["name"]] = REFERENCE.sub(lambda name: found[name[1]], value)  # only to what stands before it
    return found


def _value_from(source: Manifest, container: Manifest) -> str:
    if "secretKeyRef" in source:
        return SECRETS.get(source["secretKeyRef"]["name"], "secret")
    group, _, name = source["resourceFieldRef"]["resource"].partition(".")
    return str(container["resources"][group][name])


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    """A PATH on which kubectl, docker, kind and minikube are stubs."""
    return Stub(tmp_path, tool("kubectl"))
