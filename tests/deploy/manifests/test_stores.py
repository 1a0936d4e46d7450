"""The stores that may stand in MinIO's place: nothing else changes. SeaweedFS starts with our options."""

from __future__ import annotations

import io
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import minio
import pytest
import requests
import yaml

from msaas.local.servers import Keys, Weed, free_ports, weed_binary
from tests.deploy.conftest import REPOSITORY, container_of, named, ports, probes, render

KEYS = {"AWS_ACCESS_KEY_ID": "the-access-key", "AWS_SECRET_ACCESS_KEY": "the-secret-key"}


@dataclass(frozen=True)
class Store:
    address: str
    inner_ports: tuple[int, ...]
    data: Path


@pytest.mark.parametrize("overlay", ["storage-silo", "storage-seaweedfs"])
def test_another_store_has_minios_address_keys_and_volume(overlay):
    ours, theirs = render("base"), render(overlay)
    before, after = (named(manifests, "StatefulSet", "minio") for manifests in (ours, theirs))
    for field in ("volumeClaimTemplates", "selector", "serviceName", "replicas"):
        assert after["spec"][field] == before["spec"][field]
    for field in ("volumeMounts", "securityContext"):
        assert container_of(after)[field] == container_of(before)[field]
    assert secrets_of(after) == secrets_of(before)
    [port] = [found for found in named(theirs, "Service", "minio")["spec"]["ports"] if found["name"] == "s3"]
    assert (port["port"], ports(after)["s3"]) == (9000, 9000)
    others = [[found for found in manifests if found["metadata"]["name"] != "minio"] for manifests in (ours, theirs)]
    assert others[0] == others[1]


def test_both_ways_to_run_seaweedfs_use_one_image():
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text(encoding="utf-8"))
    assert container_of(seaweedfs())["image"] in compose["services"]["s3"]["image"]


def test_no_probe_of_seaweedfs_starts_a_process():
    assert {name for name, probe in probes(seaweedfs()).items() if "httpGet" in probe} == {
        "startupProbe",
        "readinessProbe",
        "livenessProbe",
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """SeaweedFS as the pod starts it, on ports of its own."""
    folder = tmp_path_factory.mktemp("store")
    master, volume, filer, s3 = free_ports(4)
    container = container_of(seaweedfs())
    options = f" -master.port={master} -volume.port={volume} -filer.port={filer}"
    line = container["args"][0].replace("=/tmp/", f"={folder}/").replace("/data", f"{folder}/data")
    line = line.replace("exec weed", f"exec {shlex.quote(str(weed_binary()))}").replace("=9000", f"={s3}") + options
    environ = {entry["name"]: entry.get("value", "") for entry in container["env"]} | KEYS
    environ["WEED_LEVELDB2_DIR"] = environ["WEED_LEVELDB2_DIR"].replace("/data", f"{folder}/data")
    log = (folder / "log").open("w")
    child = subprocess.Popen(
        [*container["command"], line], cwd=folder, env={"PATH": os.environ["PATH"]} | environ, stderr=log
    )
    try:
        wait_until_up(f"http://127.0.0.1:{s3}/healthz", child)
        yield Store(f"127.0.0.1:{s3}", (master, volume, filer), folder / "data")
    finally:
        child.kill()
        child.wait()
        log.close()
        Weed(folder, Keys(*KEYS.values())).clean_up()


def test_it_keeps_objects_and_asks_for_the_keys(store):
    client = minio.Minio(store.address, *KEYS.values(), secure=False)
    client.make_bucket("input-tracks")
    client.put_object("input-tracks", "song", io.BytesIO(b"music"), 5)
    assert client.get_object("input-tracks", "song").read() == b"music"
    assert status(f"http://{store.address}/input-tracks/song") == 403
    assert [path.name for path in store.data.iterdir()] == [".seaweedfs"]


def test_its_other_servers_answer_within_the_pod_only(store):
    """127.0.0.2 reaches what listens on every address, and nothing that listens on 127.0.0.1."""
    assert not [port for port in store.inner_ports if connects("127.0.0.2", port)]
    assert connects("127.0.0.2", int(store.address.rpartition(":")[2]))


def connects(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(30)
        return probe.connect_ex((host, port)) == 0


def wait_until_up(url: str, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while status(url) != 200:
        assert child.poll() is None and time.monotonic() < deadline, "SeaweedFS does not come up"
        time.sleep(0.1)


def status(url: str) -> int:
    try:
        return requests.get(url, timeout=30).status_code
    except requests.ConnectionError:
        return 0


def seaweedfs():
    return named(render("storage-seaweedfs"), "StatefulSet", "minio")


def secrets_of(workload):
    return {
        (reference["name"], reference["key"])
        for entry in container_of(workload)["env"]
        if (reference := entry.get("valueFrom", {}).get("secretKeyRef"))
    }
