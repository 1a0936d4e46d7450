"""Every overlay fits Kubernetes, itself, and the program it starts. No cluster is asked."""

from __future__ import annotations

import json
import re
from functools import cache
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import requests
import yaml

from msaas import __version__
from msaas.queue import LEASES, WAITING
from msaas.settings import Settings, describe
from msaas.storage import BUCKETS
from msaas.web.app import create_app
from msaas.web.server import GRACEFUL_SECONDS
from msaas.worker.health import serve_health
from tests.deploy.conftest import (
    DEPLOY,
    OURS,
    OVERLAYS,
    REPOSITORY,
    container_of,
    environment_of,
    is_ours,
    named,
    of_kind,
    pod_of,
    render,
    settings_map,
    workloads,
)

KUBERNETES = "1.37"  # deploy/tools/manifests.sh tries older ones too
# Not Kubernetes' own: their fields are held by the tests below.
CUSTOM = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor"}
GRACE_MARGIN_SECONDS = 20
LONGEST_GRACE_SECONDS = 600  # what autoscalers and spot nodes allow at most
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected", "downwardAPI"}

STANDALONE = sorted(path for part in (*OURS, "redis", "minio") for path in (REPOSITORY / part).glob(f"{part}-*.yaml"))


# --- Kubernetes takes them


def test_every_object_has_kubernetes_own_fields_and_no_others():
    # Most overlays share most objects: each is looked at once.
    different = {json.dumps(manifest, sort_keys=True): manifest for name in OVERLAYS for manifest in render(name)}
    for manifest in different.values():
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", STANDALONE, ids=lambda path: path.name)
def test_each_file_can_be_applied_by_itself(path):
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        assert manifest["metadata"]["namespace"] == "msaas"


def test_everything_lives_in_one_namespace(manifests):
    spaces = {manifest["metadata"].get("namespace") for manifest in manifests if manifest["kind"] != "Namespace"}
    assert len(spaces) == 1
    assert spaces >= {manifest["metadata"]["name"] for manifest in of_kind(manifests, "Namespace")}
    assert spaces <= {"msaas", "msaas-dev"}


def test_everything_says_what_it_is_part_of(manifests):
    """deploy-all.sh --down goes by it."""
    bare = [
        f"{manifest['kind']}/{manifest['metadata']['name']}"
        for manifest in manifests
        if manifest["metadata"].get("labels", {}).get("app.kubernetes.io/part-of") != "msaas"
    ]
    assert not bare


# --- they fit the program


def test_every_variable_is_a_setting_with_a_usable_value(manifests):
    known = {row["name"] for row in describe()}
    for workload in filter(is_ours, workloads(manifests)):
        environment = environment_of(workload, manifests)
        assert set(environment) <= known, workload["metadata"]["name"]
        Settings.from_env(environment)


def test_rest_listens_and_answers_where_its_probes_ask(manifests):
    for workload in _deployments(manifests, "rest"):
        environment = environment_of(workload, manifests)
        settings = Settings.from_env(environment)
        routes = {rule.rule for rule in create_app(settings).url_map.iter_rules() if "GET" in (rule.methods or ())}
        assert _probe_paths(workload) <= routes
        assert _ports(workload) in ({}, {"http": settings.port})


def test_a_worker_listens_and_answers_where_its_probes_ask(manifests):
    paths = {"/healthz", "/readyz"}
    assert paths == _answered_by_a_worker(frozenset({*paths, "/nothing"}))
    for workload in _deployments(manifests, "worker"):
        settings = Settings.from_env(environment_of(workload, manifests))
        assert _probe_paths(workload) <= paths
        assert _ports(workload) in ({}, {"http": settings.worker_http_port})


def test_rest_and_worker_agree_on_model_redis_and_storage(manifests):
    seen = {
        tuple(environment_of(workload, manifests).get(name) for name in ("MSAAS_MODEL", "REDIS_HOST", "MINIO_HOST"))
        for workload in (*_deployments(manifests, "rest"), *_deployments(manifests, "worker"))
    }
    assert len(seen) <= 1


def test_probes_ask_ports_that_there_are(manifests):
    for workload in workloads(manifests):
        for probe in _probes(workload).values():
            if "httpGet" in probe:
                assert probe["httpGet"]["port"] in _ports(workload), workload["metadata"]["name"]


def test_liveness_never_asks_for_anything_but_the_process_itself(manifests):
    for workload in filter(is_ours, workloads(manifests)):
        liveness = _probes(workload).get("livenessProbe", {})
        assert liveness.get("httpGet", {}).get("path", "/healthz") == "/healthz"


def test_long_running_pods_of_ours_have_every_probe():
    for name in ("rest", "worker"):
        assert set(_probes(named(render("base"), "Deployment", name))) == {
            "startupProbe",
            "readinessProbe",
            "livenessProbe",
        }


def test_a_worker_has_time_to_give_its_song_back(manifests):
    for workload in _deployments(manifests, "worker"):
        settings = Settings.from_env(environment_of(workload, manifests))
        allowed = pod_of(workload)["spec"]["terminationGracePeriodSeconds"]
        assert settings.grace_seconds + GRACE_MARGIN_SECONDS <= allowed <= LONGEST_GRACE_SECONDS


def test_rest_has_time_to_end_its_requests(manifests):
    for workload in _deployments(manifests, "rest"):
        pause = container_of(workload)["lifecycle"]["preStop"]["exec"]["command"]
        assert pause[0] == "sleep"
        assert int(pause[1]) + GRACEFUL_SECONDS < pod_of(workload)["spec"]["terminationGracePeriodSeconds"]


def test_the_debug_calls_are_on_in_the_base_and_off_in_production():
    assert settings_map(render("base"))["MSAAS_DEBUG_ENDPOINTS"] == "true"
    for overlay in ("production", "full"):
        assert settings_map(render(overlay))["MSAAS_DEBUG_ENDPOINTS"] == "false"


def test_the_job_makes_the_buckets_with_our_own_code():
    source = container_of(named(render("base"), "Job", "minio-buckets"))["args"][0]
    compile(source, "minio-buckets", "exec")
    assert "ensure_buckets" in source
    assert BUCKETS


# --- they fit each other


def test_selectors_match_their_own_pods(manifests):
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        assert _matches(workload["spec"]["selector"], pod_of(workload)["metadata"]["labels"])


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"])
def test_whatever_selects_pods_finds_some(manifests, kind):
    labels = [pod_of(workload)["metadata"]["labels"] for workload in workloads(manifests)]
    for manifest in of_kind(manifests, kind):
        spec = manifest["spec"]
        selector = (
            {"matchLabels": spec["selector"]} if kind == "Service" else spec.get("selector", spec.get("podSelector"))
        )
        assert any(_matches(selector, found) for found in labels), manifest["metadata"]["name"]


def test_services_lead_to_ports_that_there_are(manifests):
    for service in of_kind(manifests, "Service"):
        [target] = [
            workload
            for workload in workloads(manifests)
            if _matches({"matchLabels": service["spec"]["selector"]}, pod_of(workload)["metadata"]["labels"])
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(_ports(target))


def test_the_ingress_names_the_services_port(manifests):
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(manifests, "Service", backend["name"])
                assert backend["port"]["number"] in {port["port"] for port in service["spec"]["ports"]}


def test_addresses_in_the_environment_are_services_with_that_port(manifests):
    services = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in of_kind(manifests, "Service")
        for port in service["spec"]["ports"]
    }
    if not services & {"redis:6379"} or not of_kind(manifests, "Deployment"):
        return  # from elsewhere, or on this machine
    for workload in filter(is_ours, workloads(manifests)):
        environment = environment_of(workload, manifests)
        settings = Settings.from_env(environment)
        assert {"REDIS_HOST": settings.redis_host}.items() <= {"REDIS_HOST": "redis:6379"}.items() or (
            "REDIS_HOST" not in environment
        )
        assert environment.get("MINIO_HOST", "minio:9000") in services


def test_every_secret_is_one_that_deploy_all_makes():
    script = (REPOSITORY / "deploy-all.sh").read_text(encoding="utf-8")
    made = {
        (name, key) for name, *keys in map(str.split, re.findall(r"^  make_secret (.+)$", script, re.M)) for key in keys
    }
    for overlay in OVERLAYS:
        assert _secret_keys(render(overlay)) <= made, overlay


def test_only_redis_password_may_be_missing(manifests):
    for workload in workloads(manifests):
        for entry in container_of(workload).get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                assert reference.get("optional", False) == (reference["name"] == "msaas-redis")


def test_network_policies_let_through_what_the_parts_need():
    policies = of_kind(render("production"), "NetworkPolicy")
    for client, server, port in (
        ("rest", "redis", 6379),
        ("worker", "redis", 6379),
        ("logs", "redis", 6379),
        ("rest", "minio", 9000),
        ("worker", "minio", 9000),
        ("minio-buckets", "minio", 9000),
    ):
        assert _allowed(policies, "egress", client, "to", server, port), (client, server)
        assert _allowed(policies, "ingress", server, "from", client, port), (client, server)
    assert not _allowed(policies, "egress", "logs", "to", "minio", 9000)


# --- images


def test_no_image_is_latest_and_ours_are_this_release(manifests):
    for workload in workloads(manifests):
        image = container_of(workload)["image"]
        tag = image.partition("@")[0].rpartition(":")[2]
        assert tag not in ("", "latest"), image
        assert "/" not in tag, f"{image} has no tag"
        if image.startswith("msaas-"):
            assert tag.removesuffix("-cuda") == __version__


def test_images_of_others_are_pinned_by_digest(manifests):
    for workload in workloads(manifests):
        image = container_of(workload)["image"]
        if "msaas-" not in image:
            assert re.fullmatch(r"[a-z.]+\.[a-z]+/.+:.+@sha256:[0-9a-f]{64}", image)


# --- Pod Security Standard restricted, and what it does not ask for


def test_every_pod_keeps_to_the_restricted_standard(manifests):
    for workload in workloads(manifests):
        pod, container = pod_of(workload)["spec"], container_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"} <= RESTRICTED_VOLUMES
        assert not {"hostPID", "hostIPC"} & set(pod)


def test_only_the_smoke_test_uses_the_hosts_network():
    for overlay in OVERLAYS:
        for workload in workloads(render(overlay)):
            assert pod_of(workload)["spec"].get("hostNetwork", False) is (overlay == "container-smoke")


def test_root_file_systems_are_read_only_and_scratch_is_bounded(manifests):
    for workload in workloads(manifests):
        pod, container = pod_of(workload)["spec"], container_of(workload)
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claimed = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        assert mounted == claimed | {volume["name"] for volume in pod.get("volumes", [])}
        if is_ours(workload):
            assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"])


def test_no_pod_gets_service_links_or_a_token(manifests):
    for workload in workloads(manifests):
        assert pod_of(workload)["spec"]["enableServiceLinks"] is False
        assert pod_of(workload)["spec"]["automountServiceAccountToken"] is False


def test_every_container_states_what_it_asks_for_and_its_limit(manifests):
    for workload in workloads(manifests):
        resources = container_of(workload)["resources"]
        for group in ("requests", "limits"):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(resources[group]), workload["metadata"]["name"]


def test_the_namespace_enforces_the_restricted_standard(manifests):
    for namespace in of_kind(manifests, "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_gpu_workers_have_a_gpu_and_refuse_to_do_without():
    worker = named(render("gpu"), "Deployment", "worker")
    assert container_of(worker)["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container_of(worker)["image"].endswith("-cuda")
    assert environment_of(worker, render("gpu"))["MSAAS_DEVICE"] == "cuda"


# --- state


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing():
    redis = named(render("base"), "StatefulSet", "redis")
    command = " ".join(container_of(redis)["args"])
    for words in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert words in command
    assert redis["spec"]["volumeClaimTemplates"]


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


def test_monitors_scrape_ports_that_there_are():
    manifests = render("full")
    service = named(manifests, "Service", "rest")
    monitor = named(manifests, "ServiceMonitor", "rest")["spec"]
    assert _matches(monitor["selector"], service["metadata"]["labels"])
    assert {end["port"] for end in monitor["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
    pods = named(manifests, "PodMonitor", "worker")["spec"]
    assert {end["port"] for end in pods["podMetricsEndpoints"]} <= set(_ports(named(manifests, "Deployment", "worker")))


def test_the_external_overlay_brings_no_redis_and_no_minio():
    manifests = render("external")
    assert not of_kind(manifests, "StatefulSet", "Job")
    worker = named(manifests, "Deployment", "worker")
    settings = Settings.from_env(environment_of(worker, manifests))
    assert settings.minio_secure
    assert "example.com" in settings.redis_host


# --- the smoke test's overlay stays what the base is


def test_the_smoke_overlay_changes_only_what_podman_cannot_do():
    for name in OURS:
        base, smoke = (named(render(overlay), "Deployment", name) for overlay in ("base", "container-smoke"))
        assert pod_of(base)["spec"]["securityContext"] == pod_of(smoke)["spec"]["securityContext"]
        for field in ("securityContext", "resources", "volumeMounts"):
            assert container_of(base)[field] == container_of(smoke)[field]
        assert pod_of(base)["spec"]["volumes"] == pod_of(smoke)["spec"]["volumes"]
        # The overlay's patches go by position.
        first = container_of(base)["env"][0]
        assert first == {"name": "REDIS_HOST", "value": "redis"}
        missing = {entry["name"] for entry in container_of(base)["env"]} - {
            entry["name"] for entry in container_of(smoke)["env"]
        }
        assert missing == (set() if name == "logs" else {"MINIO_HOST"})


def test_the_plain_folders_are_what_the_base_gathers():
    gathered = yaml.safe_load((DEPLOY / "base" / "kustomization.yaml").read_text())["resources"]
    assert {f"../../{part}" for part in (*OURS, "redis", "minio")} | {"namespace.yaml"} == set(gathered)
    for part in (*OURS, "redis", "minio"):
        listed = yaml.safe_load((REPOSITORY / part / "kustomization.yaml").read_text())["resources"]
        assert sorted(listed) == sorted(path.name for path in (REPOSITORY / part).glob(f"{part}-*.yaml"))


# --- helpers


@cache
def _answered_by_a_worker(paths):
    server = serve_health(0, alive=lambda: (True, {}), ready=lambda: (True, {}), host="127.0.0.1")
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        return {path for path in paths if requests.get(url + path, timeout=5).status_code == 200}
    finally:
        server.shutdown()
        server.server_close()


def _deployments(manifests, name):
    return [found for found in of_kind(manifests, "Deployment") if found["metadata"]["name"] == name]


def _probes(workload):
    return {name: probe for name, probe in container_of(workload).items() if name.endswith("Probe")}


def _probe_paths(workload):
    found = {probe["httpGet"]["path"] for probe in _probes(workload).values() if "httpGet" in probe}
    return {urlsplit(path).path for path in found}


def _ports(workload):
    return {port["name"]: port["containerPort"] for port in container_of(workload).get("ports", [])}


def _matches(selector, labels):
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def _secret_keys(manifests):
    found = {
        (reference["name"], reference["key"])
        for workload in workloads(manifests)
        for entry in container_of(workload).get("env", [])
        if (reference := entry.get("valueFrom", {}).get("secretKeyRef"))
    }
    for authentication in of_kind(manifests, "TriggerAuthentication"):
        found |= {(target["name"], target["key"]) for target in authentication["spec"]["secretTargetRef"]}
    return found


def _allowed(policies, direction, subject, side, peer, port):
    """Whether a policy for `subject` lets it talk to `peer` on `port`."""

    def is_name(selector, name):
        return _matches(selector, {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "msaas"})

    return any(
        is_name(policy["spec"]["podSelector"], subject)
        and any(
            any(
                is_name(found["podSelector"], peer)
                for found in rule.get(side, [])
                if "namespaceSelector" not in found and "podSelector" in found
            )
            and port in {allowed["port"] for allowed in rule["ports"]}
            for rule in policy["spec"].get(direction, [])
        )
        for policy in policies
    )
