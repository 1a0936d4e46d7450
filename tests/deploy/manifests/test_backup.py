"""Redis' copies are made by Redis' own image beside Redis, and can be put back; `production` lets them through."""

from __future__ import annotations

import kubernetes_validate
import pytest
import yaml

from tests.deploy.conftest import DEPLOY, container_of, matches, named, of_kind, pod_of, render
from tests.deploy.manifests.test_schemas import KUBERNETES

BACKUP = {"app.kubernetes.io/name": "backup", "app.kubernetes.io/part-of": "msaas"}


@pytest.fixture
def restore():
    return yaml.safe_load((DEPLOY / "components" / "backup" / "restore.yaml").read_text(encoding="utf-8"))


def redis_and_backup():
    manifests = render("full")
    return named(manifests, "StatefulSet", "redis"), named(manifests, "CronJob", "backup")


def test_copies_are_made_and_put_back_by_the_redis_that_wrote_them(restore):
    redis, backup = redis_and_backup()
    for other in (backup, restore):
        assert container_of(other)["image"] == container_of(redis)["image"]
        assert pod_of(other)["spec"]["securityContext"] == pod_of(redis)["spec"]["securityContext"]
        assert container_of(other)["securityContext"] == container_of(redis)["securityContext"]


def test_a_restore_is_an_object_that_kubernetes_takes(restore):
    kubernetes_validate.validate(restore, KUBERNETES, strict=True)


def test_a_restore_mounts_the_data_of_redis_and_the_copies(restore):
    redis, _ = redis_and_backup()
    [claim] = redis["spec"]["volumeClaimTemplates"]
    claims = {volume["persistentVolumeClaim"]["claimName"] for volume in pod_of(restore)["spec"]["volumes"]}
    copies = named(render("full"), "PersistentVolumeClaim", "msaas-backup")["metadata"]["name"]
    assert claims == {f"{claim['metadata']['name']}-redis-0", copies}


def test_copies_are_made_on_the_node_of_redis_so_that_one_pod_can_mount_both():
    redis, backup = redis_and_backup()
    [term] = pod_of(backup)["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert matches(term["labelSelector"], pod_of(redis)["metadata"]["labels"])


def test_the_policies_let_a_copy_out_of_redis():
    policies = {found["metadata"]["name"]: found["spec"] for found in of_kind(render("full"), "NetworkPolicy")}
    assert matches(policies["backup"]["podSelector"], BACKUP)
    [rule] = policies["redis-backup"]["ingress"]
    assert any(matches(peer["podSelector"], BACKUP) for peer in rule["from"])
