"""Images, the Pod Security Standard *restricted*, and what it does not ask for."""

from __future__ import annotations

import re

import pytest

from msaas import __version__
from tests.deploy.conftest import (
    OVERLAYS,
    REPOSITORY,
    container_of,
    environment_of,
    is_ours,
    named,
    of_kind,
    pod_of,
    render,
    workloads,
)

RESTRICTED_VOLUMES = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected", "downwardAPI", "image"}


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
            assert all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)


def test_containers_that_go_before_are_held_to_the_same():
    worker = named(render("weights-volume"), "Deployment", "worker")
    [first] = pod_of(worker)["spec"]["initContainers"]
    assert first["securityContext"] == container_of(worker)["securityContext"]
    assert set(first["resources"]["limits"]) == set(container_of(worker)["resources"]["limits"])
    assert first["image"] == container_of(worker)["image"]


@pytest.mark.parametrize("overlay", ["weights-volume", "weights-image"])
def test_weights_of_their_own_are_where_the_worker_looks_and_cannot_be_changed(overlay):
    pod = pod_of(named(render(overlay), "Deployment", "worker"))["spec"]
    [container] = pod["containers"]
    [mount] = [mount for mount in container["volumeMounts"] if mount["name"] == "weights"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/models", True)
    dockerfile = (REPOSITORY / "worker" / "Dockerfile").read_text(encoding="utf-8")
    assert f"MSAAS_MODEL_REPO={mount['mountPath']} " in dockerfile
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "weights"]
    assert "image" in volume or volume["persistentVolumeClaim"]["readOnly"]


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


def test_the_smoke_overlay_changes_only_what_podman_cannot_do():
    for name in ("rest-server", "worker", "logs"):
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
