"""The manifests start the programs as the programs want it: settings, ports, probes, time to stop."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from urllib.parse import urlsplit

import pytest
import requests

from msaas.audio.sandbox.client import PROBE_MEMORY_BYTES
from msaas.errors import SettingsError
from msaas.settings import Settings, describe
from msaas.storage import ALL_BUCKETS
from msaas.web.server import GRACEFUL_SECONDS
from msaas.wiring.api import build_app
from msaas.worker.health import serve_health
from tests.deploy.conftest import (
    HELPERS,
    SECRETS,
    container_of,
    deployments,
    environment_of,
    is_ours,
    named,
    pod_of,
    ports,
    probes,
    render,
    settings_map,
    workloads,
)

GRACE_MARGIN_SECONDS = 20
LOOKED_AT_ONCE = 4  # msaas.wiring.api's probe_gate
REST_BYTES = 200 << 20  # the API's process and the one that probes fork from
LONGEST_GRACE_SECONDS = 600  # what autoscalers and spot nodes allow at most


def test_every_variable_is_a_setting_with_a_usable_value(manifests):
    known = {row["name"] for row in describe()}
    for workload in filter(is_ours, workloads(manifests)):
        environment = environment_of(workload, manifests)
        assert set(environment) <= known | HELPERS, workload["metadata"]["name"]
        Settings.from_env(environment)


@pytest.mark.parametrize("overlay", ["production", "full"])
def test_production_starts_no_api_without_keys(overlay, monkeypatch):
    manifests = render(overlay)
    rest = named(manifests, "Deployment", "rest-server")
    assert [key.name for key in Settings.from_env(environment_of(rest, manifests)).api_keys] == ["somebody"]
    [reference] = [entry for entry in container_of(rest)["env"] if entry["name"] == "API_KEYS"]
    assert reference["valueFrom"] == {"secretKeyRef": {"name": "msaas-api-keys", "key": "keys"}}
    for empty in ("", " ", "\n"):
        monkeypatch.setitem(SECRETS, "msaas-api-keys", empty)
        with pytest.raises(SettingsError, match="has no key"):
            Settings.from_env(environment_of(rest, manifests))


def test_rest_listens_and_answers_where_its_probes_ask(manifests):
    for workload in deployments(manifests, "rest-server"):
        environment = environment_of(workload, manifests)
        settings = Settings.from_env(environment)
        routes = {rule.rule for rule in build_app(settings).url_map.iter_rules() if "GET" in (rule.methods or ())}
        assert _probe_paths(workload) <= routes
        assert ports(workload) in ({}, {"http": settings.port})


def test_a_worker_listens_and_answers_where_its_probes_ask(manifests):
    paths = {"/healthz", "/readyz"}
    assert paths == _answered_by_a_worker(frozenset({*paths, "/nothing"}))
    for workload in deployments(manifests, "worker"):
        settings = Settings.from_env(environment_of(workload, manifests))
        assert _probe_paths(workload) <= paths
        assert ports(workload) in ({}, {"http": settings.worker_http_port})


def test_rest_and_worker_agree_on_model_redis_and_storage(manifests):
    seen = {
        tuple(environment_of(workload, manifests).get(name) for name in ("MSAAS_MODEL", "REDIS_HOST", "MINIO_HOST"))
        for workload in (*deployments(manifests, "rest-server"), *deployments(manifests, "worker"))
    }
    assert len(seen) <= 1


def test_probes_ask_ports_that_there_are(manifests):
    for workload in workloads(manifests):
        for probe in probes(workload).values():
            if "httpGet" in probe:
                assert probe["httpGet"]["port"] in ports(workload), workload["metadata"]["name"]


def test_liveness_never_asks_for_anything_but_the_process_itself(manifests):
    for workload in filter(is_ours, workloads(manifests)):
        liveness = probes(workload).get("livenessProbe", {})
        assert liveness.get("httpGet", {}).get("path", "/healthz") == "/healthz"


def test_long_running_pods_of_ours_have_every_probe():
    for name in ("rest-server", "worker"):
        assert set(probes(named(render("base"), "Deployment", name))) == {
            "startupProbe",
            "readinessProbe",
            "livenessProbe",
        }


def test_a_worker_has_time_to_give_its_song_back(manifests):
    for workload in deployments(manifests, "worker"):
        settings = Settings.from_env(environment_of(workload, manifests))
        allowed = pod_of(workload)["spec"]["terminationGracePeriodSeconds"]
        assert settings.grace_seconds + GRACE_MARGIN_SECONDS <= allowed <= LONGEST_GRACE_SECONDS


def test_hostile_uploads_all_at_once_do_not_end_the_api(manifests):
    """Kubernetes kills the whole container where one process of it goes past the limit."""
    for workload in deployments(manifests, "rest-server"):
        limit = container_of(workload)["resources"]["limits"]["memory"]
        assert limit.endswith("Gi")
        assert int(limit.removesuffix("Gi")) << 30 > LOOKED_AT_ONCE * PROBE_MEMORY_BYTES + REST_BYTES


def test_no_pod_asks_for_more_grace_than_it_would_get(manifests):
    for workload in workloads(manifests):
        spec = pod_of(workload)["spec"]
        assert spec.get("terminationGracePeriodSeconds", 30) <= LONGEST_GRACE_SECONDS, workload["metadata"]["name"]


def test_rest_has_time_to_end_its_requests(manifests):
    for workload in deployments(manifests, "rest-server"):
        pause = container_of(workload)["lifecycle"]["preStop"]["exec"]["command"]
        assert pause[0] == "sleep"
        assert int(pause[1]) + GRACEFUL_SECONDS < pod_of(workload)["spec"]["terminationGracePeriodSeconds"]


def test_the_debug_calls_are_on_in_the_base_and_off_in_production():
    assert settings_map(render("base"))["MSAAS_DEBUG_ENDPOINTS"] == "true"
    for overlay in ("production", "full"):
        assert settings_map(render(overlay))["MSAAS_DEBUG_ENDPOINTS"] == "false"


def test_the_job_makes_all_three_buckets(storage, environ):
    client = storage.client
    for bucket in client.list_buckets():
        client.remove_bucket(bucket.name)
    job = container_of(named(render("base"), "Job", "minio-buckets"))
    source, *others = job["args"]
    assert (job["command"], others) == (["python", "-c"], [])
    for _ in range(2):  # with every release anew
        done = subprocess.run([sys.executable, "-c", source], env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert {bucket.name for bucket in client.list_buckets()} == set(ALL_BUCKETS)


def test_redis_keeps_what_it_acknowledged_and_forgets_nothing():
    redis = named(render("base"), "StatefulSet", "redis")
    command = " ".join(container_of(redis)["args"])
    for words in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert words in command
    assert redis["spec"]["volumeClaimTemplates"]


@cache
def _answered_by_a_worker(paths):
    server = serve_health(0, alive=lambda: (True, {}), ready=lambda: (True, {}), host="127.0.0.1")
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        return {path for path in paths if requests.get(url + path, timeout=60).status_code == 200}
    finally:
        server.shutdown()
        server.server_close()


def _probe_paths(workload):
    found = {probe["httpGet"]["path"] for probe in probes(workload).values() if "httpGet" in probe}
    return {urlsplit(path).path for path in found}
