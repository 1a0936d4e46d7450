"""The Helm chart renders the objects that kustomize renders, whatever components are chosen."""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.tools.chart.program import CONDITIONS, render, write_chart
from tests.deploy.conftest import named, settings_map, tool

CHOICES = {
    "storage": ("storage-silo", "storage-seaweedfs", "external"),
    "weights": ("weights-volume", "weights-image"),
    "route": ("ingress", "gateway"),
}
WORDS = {"storage-silo": "silo", "storage-seaweedfs": "seaweedfs", "weights-volume": "volume", "weights-image": "image"}
SINGLE = tuple(name for name in CONDITIONS if name not in itertools.chain(*CHOICES.values(), ["ingress-nginx"]))
EXTERNAL = {"REDIS_HOST": "redis.example.com:6379", "MINIO_HOST": "s3.example.com:443", "MINIO_SECURE": "true"}
HELM = pytest.mark.skipif(not Path(tool("helm")).exists(), reason="no Helm for this machine among the packages")

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_chart(tmp_path_factory.mktemp("chart"))


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *map(str, arguments)], capture_output=True, text=True, check=False)


def by_helm(chart: Path, values: Manifest, namespace: str = "msaas") -> list[Manifest]:
    path = chart.parent / "values.json"
    path.write_text(json.dumps(values))
    done = helm("template", "msaas", chart, "--namespace", namespace, "--values", path)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def values_of(components: tuple[str, ...]) -> Manifest:
    """The chart's values for these components."""
    values: Manifest = {"credentials": {"create": False}, "components": {}}
    for name in components:
        choice = next((key for key, names in CHOICES.items() if name in names), None)
        if choice:
            values[choice] = WORDS.get(name, name)
        elif name == "ingress-nginx":
            values["route"] = name
        else:
            first, *rest = name.split("-")
            values["components"][first + "".join(word.title() for word in rest)] = True
    if "external" in components:
        values |= {"settings": EXTERNAL, "queueAddress": "redis.msaas.svc:6379"}
    return values


ONLY_OF_CHARTS = ("imagePullSecrets", "nodeSelector", "storageClassName", "annotations")
JOBS = "minio-buckets|weights|backup-claim|backup-songs-claim"
RENEWED = re.compile(rf"^(msaas-settings)-[a-z0-9]{{10}}$|^({JOBS})-1$")  # names with ends that change


def comparable(manifests: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Without the Namespace, which is Helm's to make, and what only a chart has."""
    plain = [_plain(found) for found in manifests if found["kind"] != "Namespace"]
    return {(found["kind"], found["metadata"]["name"]): found for found in plain}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _plain(inner) for key, inner in value.items() if key != "checksum/settings"}
        return {key: inner for key, inner in kept.items() if inner or key not in ONLY_OF_CHARTS}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return RENEWED.sub(r"\1\2", value) if isinstance(value, str) else value


def assert_equal(chart: Path, components: tuple[str, ...]) -> None:
    literals = EXTERNAL if "external" in components else None
    expected = comparable(list(yaml.safe_load_all(render(list(components), literals))))
    found = comparable(by_helm(chart, values_of(components)))
    assert found.keys() == expected.keys()
    for name, manifest in expected.items():
        assert found[name] == manifest, (components, name)


def a_selection(seed: int) -> tuple[str, ...]:
    """Any of the components that go together, in the order of CONDITIONS."""
    rng = random.Random(seed)
    chosen = {name for name in SINGLE if rng.random() < 0.5}
    chosen |= {name for names in CHOICES.values() if (name := rng.choice((*names, None)))}
    return tuple(name for name in CONDITIONS if name in chosen)


@HELM
@pytest.mark.parametrize(
    "components", [(), ("ingress", "ingress-nginx"), *((name,) for name in CONDITIONS)], ids="+".join
)
def test_each_component_is_what_kustomize_renders(chart, components):
    if components != ("ingress-nginx",):
        assert_equal(chart, components)


@HELM
@pytest.mark.parametrize("seed", range(12))
def test_components_together_are_what_kustomize_renders(chart, seed):
    assert_equal(chart, a_selection(seed))


def refused(chart: Path, *values: str) -> str:
    done = helm("template", "msaas", chart, *(f"--set={value}" for value in values))
    assert done.returncode
    return done.stderr


@HELM
def test_the_chart_is_sound(chart):
    done = helm("lint", "--strict", chart)
    assert done.returncode == 0, done.stdout


@HELM
def test_values_are_over_the_components(chart):
    values = {
        "components": {"production": True},
        "settings": {"MSAAS_MODEL": "htdemucs_ft", "MSAAS_DEBUG_ENDPOINTS": True, "MSAAS_LANES": 2},
        "image": {"registry": "registry.example.com/music", "tag": "9"},
        "imagePullSecrets": [{"name": "pull"}],
        "storageClass": "fast",
        "worker": {"replicas": 0, "nodeSelector": {"disk": "ssd"}, "resources": {"limits": {"memory": "9Gi"}}},
        "store": {"storage": "1Ti", "image": "store:1"},
    }
    found = by_helm(chart, values)
    assert settings_map(found).items() >= {
        ("MSAAS_MODEL", "htdemucs_ft"),
        ("MSAAS_DEBUG_ENDPOINTS", "true"),
        ("MSAAS_LANES", "2"),
        ("MSAAS_LOG_LEVEL", "info"),
    }
    worker, store = named(found, "Deployment", "worker")["spec"], named(found, "StatefulSet", "minio")["spec"]
    pod = worker["template"]["spec"]
    assert (worker["replicas"], pod["nodeSelector"], pod["imagePullSecrets"]) == (
        0,
        {"disk": "ssd"},
        [{"name": "pull"}],
    )
    assert pod["containers"][0]["image"] == "registry.example.com/music/msaas-worker:9"
    assert pod["containers"][0]["resources"]["limits"]["memory"] == "9Gi"
    assert pod["containers"][0]["resources"]["limits"]["cpu"] == "2"
    assert store["template"]["spec"]["containers"][0]["image"] == "store:1"
    [claim] = store["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]["requests"]["storage"]) == ("fast", "1Ti")
    assert named(found, "Deployment", "rest-server")["spec"]["replicas"] == 2


@HELM
def test_workers_on_gpus_keep_the_ending_of_their_tag(chart):
    found = by_helm(chart, {"components": {"gpu": True}, "weights": "volume", "image": {"tag": "9"}})
    pod = named(found, "Deployment", "worker")["spec"]["template"]["spec"]
    images = {container["image"] for container in (*pod["containers"], *pod["initContainers"])}
    assert images == {"msaas-worker:9-cuda"}
    assert (
        named(found, "Deployment", "rest-server")["spec"]["template"]["spec"]["containers"][0]["image"]
        == "msaas-rest:9"
    )


@HELM
def test_names_are_those_of_the_release(chart):
    values = {
        "route": "gateway",
        "host": "stems.example.org",
        "gateway": {"name": "shared"},
        "components": {"keda": True},
    }
    found = by_helm(chart, values, namespace="music")
    route = named(found, "HTTPRoute", "rest-server")["spec"]
    assert route["hostnames"] == ["stems.example.org"]
    assert route["parentRefs"] == [{"name": "shared", "namespace": "gateway"}]
    assert settings_map(found)["MSAAS_PUBLIC_URL"] == "https://stems.example.org"
    addresses = [
        trigger["metadata"]["address"] for trigger in named(found, "ScaledObject", "worker")["spec"]["triggers"]
    ]
    assert set(addresses) == {"redis.music.svc:6379"}
    spaces = {one["metadata"].get("namespace") for one in found}
    assert spaces == {"music"}


@HELM
def test_no_route_renders_no_ingress(chart):
    assert "Ingress" not in {one["kind"] for one in by_helm(chart, {"route": "none"})}


@HELM
def test_a_changed_setting_restarts_the_pods_that_read_it(chart):
    def sums(values: Manifest) -> set[str]:
        pods = [one["spec"]["template"] for one in by_helm(chart, values) if one["kind"] == "Deployment"]
        return {pod["metadata"]["annotations"]["checksum/settings"] for pod in pods}

    [before], [after] = sums({}), sums({"settings": {"MSAAS_LANES": 2}})
    assert before != after


@HELM
def test_secrets_are_made_once_but_those_of_a_store_from_elsewhere(chart):
    def secrets(values: Manifest) -> set[str]:
        return {one["metadata"]["name"] for one in by_helm(chart, values) if one["kind"] == "Secret"}

    assert secrets({}) == {"msaas-redis", "msaas-minio", "msaas-callback-secrets"}
    assert secrets({"storage": "external", "settings": EXTERNAL}) == {"msaas-callback-secrets"}
    assert secrets({"credentials": {"create": False}}) == set()
    for secret in (one for one in by_helm(chart, {}) if one["kind"] == "Secret"):
        assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@HELM
def test_copies_outlive_the_release(chart):
    claims = [
        one
        for one in by_helm(chart, {"components": {"backup": True, "backupSongs": True}})
        if one["kind"] == "PersistentVolumeClaim"
    ]
    assert {one["metadata"]["name"] for one in claims} == {"msaas-backup", "msaas-backup-songs"}
    for claim in claims:
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def nulls(value: Any, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in nulls(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [found for place, inner in enumerate(value) for found in nulls(inner, f"{path}.{place}")]
    return [path] if value is None else []


@HELM
def test_nothing_is_null(chart):
    """Helm 4 applies on the server, where a null removes what the cluster has filled in: a claim refuses that."""
    every = (*SINGLE, "storage-seaweedfs", "weights-volume", "gateway")
    for components in ((), every):
        assert [path for one in by_helm(chart, values_of(components)) for path in nulls(one, one["kind"])] == []


@HELM
def test_a_store_from_elsewhere_needs_its_addresses(chart):
    assert "needs settings.REDIS_HOST" in refused(chart, "storage=external")
    addresses = [f"settings.{name}={value}" for name, value in EXTERNAL.items()]
    assert "needs queueAddress" in refused(chart, "storage=external", "components.keda=true", *addresses)
    values = {"storage": "external", "components": {"keda": True}, "settings": EXTERNAL, "queueAddress": "queue:1"}
    found = named(by_helm(chart, values), "ScaledObject", "worker")["spec"]["triggers"]
    assert {trigger["metadata"]["address"] for trigger in found} == {"queue:1"}


@HELM
@pytest.mark.parametrize(
    "value", ["storage=ceph", "worker.replicas=-1", "components.keba=true", "settings.msaas_model=x", "image.tag=a b"]
)
def test_values_that_mean_nothing_are_refused(chart, value):
    assert value.partition("=")[0].rpartition(".")[2] in refused(chart, value) or "additional" in refused(chart, value)
