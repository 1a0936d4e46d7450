"""The objects fit each other: selectors, ports, addresses, Secrets."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest

from msaas.settings import Settings
from tests.deploy.conftest import (
    OVERLAYS,
    REPOSITORY,
    container_of,
    environment_of,
    is_ours,
    matches,
    named,
    of_kind,
    pod_of,
    ports,
    render,
    settings_map,
    workloads,
)

OPTIONAL = {"msaas-redis", "msaas-callback-secrets"}


def test_selectors_match_their_own_pods(manifests):
    for workload in of_kind(manifests, "Deployment", "StatefulSet"):
        assert matches(workload["spec"]["selector"], pod_of(workload)["metadata"]["labels"])


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"])
def test_whatever_selects_pods_finds_some(manifests, kind):
    labels = [pod_of(workload)["metadata"]["labels"] for workload in workloads(manifests)]
    for manifest in of_kind(manifests, kind):
        spec = manifest["spec"]
        selector = (
            {"matchLabels": spec["selector"]} if kind == "Service" else spec.get("selector", spec.get("podSelector"))
        )
        assert any(matches(selector, found) for found in labels), manifest["metadata"]["name"]


def test_services_lead_to_ports_that_there_are(manifests):
    for service in of_kind(manifests, "Service"):
        [target] = [
            workload
            for workload in workloads(manifests)
            if matches({"matchLabels": service["spec"]["selector"]}, pod_of(workload)["metadata"]["labels"])
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(target))


def test_the_ingress_names_the_services_port(manifests):
    for ingress in of_kind(manifests, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                service = named(manifests, "Service", backend["name"])
                assert backend["port"]["number"] in {port["port"] for port in service["spec"]["ports"]}


@pytest.mark.parametrize("overlay", ["ingress", "production", "full"])
def test_callbacks_link_to_the_host_of_the_ingress(overlay):
    manifests = render(overlay)
    spec = named(manifests, "Ingress", "rest-server")["spec"]
    url = urlsplit(settings_map(manifests)["MSAAS_PUBLIC_URL"])
    assert url.scheme == "https"
    assert {rule["host"] for rule in spec["rules"]} == {url.hostname}
    assert [tls["hosts"] for tls in spec["tls"]] == [[url.hostname]]


def test_an_ingress_names_no_controller_unless_it_is_chosen():
    """An annotation of one controller is another's silence."""
    for overlay in OVERLAYS:
        for ingress in of_kind(render(overlay), "Ingress"):
            chosen = overlay == "ingress-nginx"
            assert ("ingressClassName" in ingress["spec"]) is chosen
            assert ("annotations" in ingress["metadata"]) is chosen


def test_the_gateway_takes_the_ingress_place():
    manifests = render("gateway")
    assert not of_kind(manifests, "Ingress")
    route = named(manifests, "HTTPRoute", "rest-server")["spec"]
    assert [f"https://{host}" for host in route["hostnames"]] == [settings_map(manifests)["MSAAS_PUBLIC_URL"]]
    service = named(manifests, "Service", "rest-server")
    for rule in route["rules"]:
        [backend] = rule["backendRefs"]
        assert backend["name"] == service["metadata"]["name"]
        assert backend["port"] in {port["port"] for port in service["spec"]["ports"]}


def test_the_gateway_ends_no_event_stream_and_no_upload():
    rules = named(render("gateway"), "HTTPRoute", "rest-server")["spec"]["rules"]
    timeouts = {rule["matches"][0]["path"]["value"]: rule["timeouts"] for rule in rules}
    assert timeouts["/apiv1"] == {"request": "0s", "backendRequest": "0s"}
    assert timeouts["/"]["request"] != "0s"


def test_addresses_in_the_environment_are_services_with_that_port(manifests):
    services = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in of_kind(manifests, "Service")
        for port in service["spec"]["ports"]
    }
    if "redis:6379" not in services:
        return  # from elsewhere, or on this machine
    for workload in filter(is_ours, workloads(manifests)):
        environment = environment_of(workload, manifests)
        settings = Settings.from_env(environment)
        assert "REDIS_HOST" not in environment or settings.redis_host in services
        assert "MINIO_HOST" not in environment or settings.minio_host in services


def test_every_secret_is_one_that_deploy_all_makes_or_asks_for():
    script = (REPOSITORY / "deploy-all.sh").read_text(encoding="utf-8")
    calls = re.findall(r" make_secret (msaas-[a-z-]+)((?: [a-z-]+)+)", script)
    made = {(name, key) for name, keys in calls for key in keys.split()}
    asked = set(re.findall(r" need_secret (msaas-[a-z-]+) '([a-z-]+)=", script))
    for overlay in OVERLAYS:
        assert _secret_keys(render(overlay)) <= made | asked, overlay


def test_only_redis_password_and_the_callbacks_secrets_may_be_missing(manifests):
    for workload in workloads(manifests):
        for entry in container_of(workload).get("env", []):
            reference = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                assert reference.get("optional", False) == (reference["name"] in OPTIONAL)


@pytest.mark.parametrize("part", ["rest-server", "worker"])
def test_all_who_send_callbacks_sign_them(manifests, part):
    """One that did not know the secrets would send them unsigned."""
    for workload in of_kind(manifests, "Deployment"):
        if workload["metadata"]["name"] == part:
            names = {entry["name"] for entry in container_of(workload)["env"]}
            assert "MSAAS_CALLBACK_SECRETS" in names


def test_the_external_overlay_brings_no_redis_and_no_minio():
    manifests = render("external")
    assert not of_kind(manifests, "StatefulSet", "Job")
    worker = named(manifests, "Deployment", "worker")
    settings = Settings.from_env(environment_of(worker, manifests))
    assert settings.minio_secure
    assert "example.com" in settings.redis_host


def test_the_service_answers_under_its_earlier_name_but_is_scraped_once():
    manifests = render("full")
    service, earlier = (named(manifests, "Service", name) for name in ("rest-server", "rest"))
    assert earlier["spec"] == service["spec"]
    assert matches(
        service["spec"]["selector"], pod_of(named(manifests, "Deployment", "rest-server"))["metadata"]["labels"]
    )
    assert not matches(
        named(manifests, "ServiceMonitor", "rest-server")["spec"]["selector"], earlier["metadata"]["labels"]
    )


def test_monitors_scrape_ports_that_there_are():
    manifests = render("full")
    service = named(manifests, "Service", "rest-server")
    monitor = named(manifests, "ServiceMonitor", "rest-server")["spec"]
    assert matches(monitor["selector"], service["metadata"]["labels"])
    assert {end["port"] for end in monitor["endpoints"]} <= {port["name"] for port in service["spec"]["ports"]}
    pods = named(manifests, "PodMonitor", "worker")["spec"]
    assert {end["port"] for end in pods["podMetricsEndpoints"]} <= set(ports(named(manifests, "Deployment", "worker")))


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
