"""Copies of Redis and of the buckets: who makes them, where, how they are restored; `production` lets them through."""

from __future__ import annotations

import subprocess

import pytest

from tests.deploy.conftest import container_of, matches, named, of_kind, pod_of, render

BACKUP = {"app.kubernetes.io/name": "backup", "app.kubernetes.io/part-of": "msaas"}


@pytest.fixture
def restore():
    return named(render("full"), "CronJob", "restore")


@pytest.fixture
def songs():
    return [named(render("full"), "CronJob", name) for name in ("backup-songs", "restore-songs")]


def redis_and_backup():
    manifests = render("full")
    return named(manifests, "StatefulSet", "redis"), named(manifests, "CronJob", "backup")


def test_copies_are_made_and_put_back_by_the_redis_that_wrote_them(restore):
    redis, backup = redis_and_backup()
    for other in (backup, restore):
        assert container_of(other)["image"] == container_of(redis)["image"]
        assert pod_of(other)["spec"]["securityContext"] == pod_of(redis)["spec"]["securityContext"]
        assert container_of(other)["securityContext"] == container_of(redis)["securityContext"]


@pytest.mark.parametrize("name", ["restore", "restore-songs"])
def test_a_restore_never_starts_by_itself(name):
    assert named(render("full"), "CronJob", name)["spec"]["suspend"] is True


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


@pytest.mark.parametrize("name", ["backup", "backup-songs"])
def test_a_pod_binds_each_claim_at_the_installation_where_the_copies_are_made(name):
    """`helm install --wait` waits for bound claims, and some volumes are made for the first pod that uses them."""
    job, copy = named(render("full"), "Job", f"{name}-claim"), named(render("full"), "CronJob", name)
    [volume] = pod_of(job)["spec"]["volumes"]
    assert volume in pod_of(copy)["spec"]["volumes"]
    assert pod_of(job)["spec"].get("affinity") == pod_of(copy)["spec"].get("affinity")
    assert container_of(job)["image"] == container_of(copy)["image"]


def test_the_policies_let_a_copy_out_of_redis():
    policies = {found["metadata"]["name"]: found["spec"] for found in of_kind(render("full"), "NetworkPolicy")}
    assert matches(policies["backup"]["podSelector"], BACKUP)
    [rule] = policies["redis-backup"]["ingress"]
    assert any(matches(peer["podSelector"], BACKUP) for peer in rule["from"])


def test_songs_are_copied_and_put_back_by_the_api_s_image_in_one_folder(songs):
    copy, restore = songs
    api = container_of(named(render("full"), "Deployment", "rest-server"))
    assert {container_of(one)["image"] for one in songs} == {api["image"]}
    assert pod_of(copy)["spec"]["volumes"] == pod_of(restore)["spec"]["volumes"]
    assert container_of(copy)["args"][0].endswith('msaas buckets copy --keep-days "$KEEP_DAYS" /backup/songs\n')
    assert container_of(restore)["args"][0].endswith("msaas buckets restore /backup/songs\n")


def test_songs_are_copied_after_redis_and_kept_as_long():
    """What the records of a copy name is then in the copy of the buckets."""
    redis, songs = (named(render("full"), "CronJob", name) for name in ("backup", "backup-songs"))
    first, second = (one["spec"]["schedule"].split()[1::-1] for one in (redis, songs))  # hour and minute
    assert [int(part) for part in first] < [int(part) for part in second]
    kept = {entry["name"]: entry.get("value") for one in (redis, songs) for entry in container_of(one)["env"]}
    assert kept["KEEP"] == kept["KEEP_DAYS"]


@pytest.mark.parametrize(
    ("settings", "secret", "found"),
    [({}, False, "minio:9000 "), ({"MINIO_HOST": "s3.example.com"}, True, "s3.example.com CA")],
)
def test_songs_are_copied_from_the_store_of_the_settings(songs, tmp_path, settings, secret, found):
    """The script, run with another `msaas`."""
    (tmp_path / "msaas").write_text('#!/bin/sh\necho "$MINIO_HOST ${MSAAS_CA_FILE:+CA}"\n')
    (tmp_path / "msaas").chmod(0o755)
    if secret:
        (tmp_path / "ca.crt").touch()
    for one in songs:
        script = container_of(one)["args"][0].replace("/etc/msaas-ca", str(tmp_path))
        environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KEEP_DAYS": "14"} | settings
        done = subprocess.run(["/bin/sh", "-ec", script], env=environ, capture_output=True, text=True, check=True)
        assert done.stdout == f"{found}\n"


def test_the_policies_let_songs_in_and_out(songs):
    policies = {found["metadata"]["name"]: found["spec"] for found in of_kind(render("full"), "NetworkPolicy")}
    [way_in] = policies["minio-backup"]["ingress"]
    for one in songs:
        labels = pod_of(one)["metadata"]["labels"]
        assert matches(policies["backup-songs"]["podSelector"], labels)
        assert any(matches(peer["podSelector"], labels) for peer in way_in["from"])
    way_out = policies["backup-songs"]["egress"][0]["to"][0]["podSelector"]
    assert matches(way_out, {"app.kubernetes.io/name": "minio"})
