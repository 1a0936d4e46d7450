"""Kubernetes takes every object of every overlay: its own fields and no others. No cluster is asked."""

from __future__ import annotations

import json

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.deploy.conftest import DEPLOY, OURS, OVERLAYS, REPOSITORY, named, of_kind, render
from tests.deploy.manifests.custom_kinds import CUSTOM

KUBERNETES = "1.37"  # deploy/tools/manifests.sh tries older ones too

STANDALONE = sorted(path for part in (*OURS, "redis", "minio") for path in (REPOSITORY / part).glob(f"{part}-*.yaml"))


def test_every_object_has_kubernetes_own_fields_and_no_others():
    # Most overlays share most objects: each is looked at once.
    different = {json.dumps(manifest, sort_keys=True): manifest for name in OVERLAYS for manifest in render(name)}
    for manifest in different.values():
        if manifest["kind"] in CUSTOM:
            Draft202012Validator(CUSTOM[manifest["kind"]]).validate(manifest["spec"])
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert {manifest["kind"] for manifest in different.values()} > {"Deployment", "Service", *CUSTOM}


def test_the_scalers_pace_is_one_that_kubernetes_takes():
    """KEDA hands `behavior` on to an autoscaler of Kubernetes' own."""
    scaled = named(render("keda"), "ScaledObject", "worker")["spec"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior, "what is checked"
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "keda-hpa-worker"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", **scaled["scaleTargetRef"]},
            "maxReplicas": scaled["maxReplicaCount"],
            "behavior": behavior,
        },
    }
    kubernetes_validate.validate(autoscaler, KUBERNETES, strict=True)


@pytest.mark.parametrize("path", STANDALONE, ids=lambda path: path.name)
def test_each_file_can_be_applied_by_itself(path):
    for manifest in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        assert manifest["metadata"]["namespace"] == "msaas"


def test_everything_lives_in_one_namespace(manifests):
    of_the_cluster = ("Namespace", "PriorityClass")
    spaces = {found["metadata"].get("namespace") for found in manifests if found["kind"] not in of_the_cluster}
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


def test_the_plain_folders_are_what_the_base_gathers():
    gathered = yaml.safe_load((DEPLOY / "base" / "kustomization.yaml").read_text())["resources"]
    assert {f"../../{part}" for part in (*OURS, "redis", "minio")} | {"namespace.yaml"} == set(gathered)
    for part in (*OURS, "redis", "minio"):
        listed = yaml.safe_load((REPOSITORY / part / "kustomization.yaml").read_text())["resources"]
        assert sorted(listed) == sorted(path.name for path in (REPOSITORY / part).glob(f"{part}-*.yaml"))
