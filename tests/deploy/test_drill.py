"""cluster-drill.py against a small API and a stub of kubectl: what it counts, what it calls lost, what it does."""

from __future__ import annotations

import http.server
import io
import json
import re
import subprocess
import threading
import time
import wave
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from deploy.tools.drill.cluster import Cluster
from deploy.tools.drill.faults import FAULTS, MEASUREMENTS
from deploy.tools.drill.program import Posts, chosen
from deploy.tools.drill.records import DrillError, Plan, Row, Song, table_line
from deploy.tools.drill.service import forwarded
from deploy.tools.drill.songs import RATE, STEMS, music
from tests.support.kubectl import Stub

SECONDS = 1


@dataclass
class Api:
    """Refuses the next calls with `refusals`, then takes songs; a job is running once, and done from then on."""

    refusals: list[tuple[int, bytes]] = field(default_factory=list)
    ends: dict[str, object] = field(default_factory=dict)  # of every job, in place of a good end
    stem: bytes = b""
    asked: Counter[str] = field(default_factory=Counter)
    keys: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, method: str, path: str) -> tuple[int, bytes]:
        if self.refusals:
            return self.refusals.pop(0)
        self.asked[path] += 1
        if method == "POST":
            return 202, json.dumps({"songhash": f"song-{self.asked[path]}"}).encode()
        if "/jobs/" in path:
            running = {"state": "running", "attempts": 1, "error": None, "stems": {}, "started_at": "12:00"}
            done = {"state": "done", "stems": {name: f"/stem/{name}" for name in STEMS}}
            return 200, json.dumps(running | (done | self.ends if self.asked[path] > 1 else {})).encode()
        return 200, self.stem


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api(stem=music(1, SECONDS))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.keys.add(self.headers.get("Authorization") or "")
            status, body = found.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


@pytest.fixture
def cluster(stub: Stub) -> Stub:
    """Every kind of pod on node-1, and a second worker on node-2."""
    for part, nodes in (("worker", ["node-1", "node-2"]), ("rest-server", ["node-1"]), ("redis", ["node-1"])):
        stub.answer(f"get_pods_-l_app.kubernetes.io~name={part}", pods(part, nodes))
    stub.answer("get_pods_-l_app.kubernetes.io~name=minio", pods("minio", ["node-1"]))
    stub.answer("get_deployment~worker_-o_jsonpath={.spec.replicas}", "2")
    stub.answer("get_deployment~worker_-o_jsonpath={.spec.template", "570")
    return stub


def pods(part: str, nodes: list[str]) -> str:
    items = [
        {
            "metadata": {"name": f"{part}-{place}"},
            "spec": {"nodeName": node},
            "status": {"phase": "Running"},
        }
        for place, node in enumerate(nodes)
    ]
    return json.dumps({"items": items})


def drilled(stub: Stub, api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    stub.env["MSAAS_API_KEY"] = "the-key"
    return stub.run(
        "deploy/tools/cluster-drill.py",
        *("--url", api.url, "--songs", "2", "--every", "0.1", "--song-seconds", str(SECONDS), "--limit", "60"),
        *arguments,
    )


def test_whole_songs_make_a_table_and_a_good_end(cluster, api):
    done = drilled(cluster, api, "--faults", "redis-deleted,store-deleted")
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.splitlines()
    assert [cell.strip() for cell in head.split("|")][2:4] == ["songs", "whole"]
    assert [row.split("|")[1].strip() for row in rows] == ["Redis' pod deleted", "the store's pod deleted"]
    for row in rows:
        songs, whole, attempts, back, refused, unanswered, _ = (cell.strip() for cell in row.strip("|").split("|")[1:])
        assert (songs, back, refused, unanswered) == (whole, "0", "0", "0")
        assert int(attempts) == int(songs) >= 2
    assert api.keys == {"Bearer the-key"}


def test_refused_calls_are_repeated_and_counted_by_their_reason(cluster, api):
    api.refusals = [(503, b'{"code": "queue_unavailable"}'), (502, b"<html>")]
    done = drilled(cluster, api, "--faults", "redis-deleted")
    assert done.returncode == 0, done.stderr
    assert "| 1: 502 without a reason, 1: 503 queue_unavailable |" in done.stdout


@pytest.mark.parametrize(
    ("ends", "stem_seconds", "reason"),
    [
        ({"state": "failed", "error": "worker_child_died"}, SECONDS, "the job is failed: worker_child_died"),
        ({"stems": {"vocals": "/stem/vocals"}}, SECONDS, "the stems are ['vocals']"),
        ({}, SECONDS + 1, f"has {2 * RATE} samples, not {RATE}"),
    ],
)
def test_a_song_without_four_whole_stems_is_lost(cluster, api, ends, stem_seconds, reason):
    api.ends, api.stem = ends, music(1, stem_seconds)
    done = drilled(cluster, api, "--faults", "redis-deleted")
    assert done.returncode == 1
    assert reason in done.stderr
    assert re.search(r"\| Redis' pod deleted \| \d+ \| 0 \|", done.stdout)


def test_four_silent_stems_are_none(cluster, api):
    file = io.BytesIO()
    with wave.open(file, "wb") as silence:
        silence.setparams((2, 2, RATE, 0, "NONE", ""))
        silence.writeframes(bytes(4 * RATE * SECONDS))
    api.stem = file.getvalue()
    done = drilled(cluster, api, "--faults", "redis-deleted")
    assert done.returncode == 1
    assert "all stems are silent" in done.stderr


def test_a_fault_that_kubectl_refuses_ends_the_drill_with_what_it_has(cluster, api):
    cluster.answer("delete_pod_-l_app.kubernetes.io~name=redis", "FAIL")
    done = drilled(cluster, api, "--faults", "store-deleted,redis-deleted")
    assert done.returncode == 2
    assert "cluster-drill: kubectl delete pod -l app.kubernetes.io/name=redis" in done.stderr
    assert "| the store's pod deleted |" in done.stdout and "Redis" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--faults", "flood"), "no such fault: flood; there are: workers-killed"),
        (("--faults", "power-stores"), "a power cut needs --power-off and --power-on"),
        (("--url", "msaas.example.com"), "msaas.example.com is not an http address"),
    ],
)
def test_a_wrong_argument_gets_one_clear_line(stub, arguments, words):
    done = stub.run("deploy/tools/cluster-drill.py", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not stub.calls


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ("workers-killed", ["delete pod worker-0 worker-1 --grace-period=0 --force"]),
        ("rollout-workers", ["rollout restart deployment/worker", "rollout status deployment/worker --timeout=600s"]),
        ("redis-forced", ["delete pod -l app.kubernetes.io/name=redis --grace-period=0 --force"]),
        ("api-and-drain", ["rollout restart deployment/rest-server", "drain node-2", "uncordon node-2"]),
        ("power-workers", ["off node-2", "on node-2", "wait --for=condition=Ready node/node-2"]),
        ("power-stores", ["off node-1", "on node-1", "wait --for=condition=Ready node/node-1"]),
        (
            "four-to-one",
            [
                "scale deployment/worker --replicas=4",
                "rollout status deployment/worker",
                "scale deployment/worker --replicas=1",
                "scale deployment/worker --replicas=2",
            ],
        ),
        (
            "four-hasty",
            [
                "set env deployment/worker MSAAS_GRACE_SECONDS=5",
                "rollout status deployment/worker",
                "scale deployment/worker --replicas=4",
                "rollout status deployment/worker",
                "scale deployment/worker --replicas=1",
                "scale deployment/worker --replicas=2",
                "set env deployment/worker MSAAS_GRACE_SECONDS=570",
            ],
        ),
    ],
)
def test_each_fault_does_what_it_says_and_puts_the_node_right(cluster, monkeypatch, fault, calls):
    done = played(cluster, monkeypatch, fault)
    assert len(done) == len(calls)
    for call, words in zip(done, calls, strict=True):
        assert call.removeprefix("--context kind-home --namespace songs ").startswith(words)


def test_all_faults_are_those_that_can_be_done_without_losing_songs_by_intent():
    every = chosen("", can_cut=True)
    assert every == tuple(FAULTS) == chosen("all", can_cut=True)
    assert chosen("all,restore", can_cut=False) == (
        *(name for name in FAULTS if not FAULTS[name].cuts_power),
        "restore",
    )


def test_before_a_drain_that_would_take_redis_the_pods_are_spread(cluster, monkeypatch):
    cluster.answer("get_pods_-l_app.kubernetes.io~name=worker", pods("worker", ["node-1"]))
    cluster.answer("get_nodes", "node/node-1\nnode/node-2")
    calls = [call.partition("--namespace songs ")[2] for call in played(cluster, monkeypatch, "drain")]
    restarts = [call.rpartition(" ")[2] for call in calls if call.startswith("rollout restart")]
    assert restarts == ["deployment/rest-server", "deployment/worker"]
    assert calls.index("rollout restart deployment/worker") < len(calls) - 2
    assert calls[-1].startswith("uncordon")


def test_a_node_is_uncordoned_after_a_drain_that_failed(cluster, monkeypatch):
    cluster.answer("drain_node-2", "FAIL")
    with pytest.raises(DrillError, match="drain node-2"):
        played(cluster, monkeypatch, "drain")
    assert cluster.calls[-1].endswith("uncordon node-2")


SCALER_PATCH = "patch scaledobject/worker --type=merge -p "


def test_with_keda_the_number_of_workers_is_keda_s_again_after_a_fault(cluster, monkeypatch):
    cluster.answer("get_scaledobject~worker_--ignore-not-found", "scaledobject.keda.sh/worker")
    cluster.answer("get_deployment~worker_-o_jsonpath={.spec.replicas}", "4")
    monkeypatch.setattr("deploy.tools.drill.workers.wait_for", lambda _condition, _otherwise: None)
    calls = [call.partition("--namespace songs ")[2] for call in played(cluster, monkeypatch, "four-to-one")]
    paused = "annotate scaledobject/worker autoscaling.keda.sh/paused-replicas"
    numbers = [call for call in calls if call.startswith("annotate")]
    assert numbers == [f"{paused}=4 --overwrite", f"{paused}=1 --overwrite", f"{paused}-"]


def test_what_keda_may_do_is_as_before_after_a_fault(cluster, monkeypatch):
    cluster.answer("get_scaledobject~worker_--ignore-not-found", "scaledobject.keda.sh/worker")
    for name, value in (("minReplicaCount", "1"), ("maxReplicaCount", "20"), ("stabilizationWindowSeconds", "300")):
        cluster.answer(f"{name}}}", value)
    monkeypatch.setattr("deploy.tools.drill.workers.wait_for", lambda _condition, _otherwise: None)
    patches = [call.partition(SCALER_PATCH)[2] for call in played(cluster, monkeypatch, "keda-down")]
    first, second, last = [json.loads(patch)["spec"] for patch in patches if patch]
    assert (first["minReplicaCount"], first["maxReplicaCount"], second) == (4, 4, {"minReplicaCount": 1})
    behavior = last.pop("advanced")["horizontalPodAutoscalerConfig"]["behavior"]
    assert last == {"minReplicaCount": 1, "maxReplicaCount": 20}
    assert behavior == {"scaleDown": {"stabilizationWindowSeconds": 300}}


def test_a_failover_ends_with_the_first_redis_as_primary(cluster, monkeypatch):
    cluster.answer("exec_redis-replica-0_--_sh_-ec_redis-cli_-e_info", "role:slave state=online")
    cluster.answer("exec_redis-0_--_sh_-ec_redis-cli_-e_info", "role:master state=online")
    monkeypatch.setattr("deploy.tools.drill.stores.BEFORE_REPAIR_SECONDS", 0)
    calls = [call.partition("--namespace songs ")[2] for call in played(cluster, monkeypatch, "redis-failover")]
    served = [call.rpartition(' "')[2] for call in calls if call.startswith("patch service/redis")]
    assert served == ['redis-replica"}}}', 'redis"}}}']
    promoted = calls.index("exec redis-replica-0 -- sh -ec redis-cli -e replicaof no one")
    returned = calls.index("exec redis-replica-0 -- sh -ec redis-cli -e failover timeout 10000")
    gone = calls.index("delete pod redis-0 --grace-period=0 --force --ignore-not-found")
    assert gone < promoted < returned
    assert calls[-1].startswith("set env deployment/rest-server MSAAS_REDIS_REPLICAS-")


def test_a_restore_looks_at_the_songs_again(cluster, api):
    cluster.answer("get_cronjob~backup-songs", "cronjob.batch/backup-songs")
    for part in ("worker", "rest-server"):
        cluster.answer(f"get_pods_-l_app.kubernetes.io~name={part}", pods(part, []))
    cluster.answer("get_deployment~rest-server_-o_jsonpath={.spec.replicas}", "2")
    cluster.answer("get_job~", "SuccessCriteriaMet Complete")
    done = drilled(cluster, api, "--faults", "restore")
    assert done.returncode == 0, done.stderr
    looked = [count for path, count in api.asked.items() if "/jobs/" in path]
    assert looked == [3] * len(looked)  # once while it runs, once done, once more afterwards
    calls = [call.partition("--namespace msaas ")[2] for call in cluster.calls if " get " not in call]
    copied = calls.index("create job backup-songs-drill --from=cronjob/backup-songs")
    lost = calls.index("delete persistentvolumeclaim data-minio-0")
    restored = calls.index("create job restore-songs-drill --from=cronjob/restore-songs")
    assert copied < lost < restored < calls.index("scale deployment/rest-server --replicas=2")


def test_a_copy_that_fails_ends_the_drill_with_its_log_before_anything_is_deleted(cluster, api):
    cluster.answer("get_cronjob~backup-songs", "cronjob.batch/backup-songs")
    cluster.answer("get_job~backup-drill", "FailureTarget Failed")
    cluster.answer("logs_job~backup-drill", "no space left")
    done = drilled(cluster, api, "--faults", "restore")
    assert (done.returncode, "job/backup-drill failed: no space left" in done.stderr) == (2, True)
    assert not any("persistentvolumeclaim" in call for call in cluster.calls)


def test_a_row_whose_part_is_not_installed_is_left_out(cluster, api):
    done = drilled(cluster, api, "--faults", "redis-failover,store-deleted")
    assert done.returncode == 0, done.stderr
    assert "left out, without statefulset/redis-replica" in done.stderr
    assert "failover" not in done.stdout


def test_long_songs_are_posted_at_once_and_as_long_as_asked():
    posts = Posts(Plan(long_seconds=40, songs=6), MEASUREMENTS["keda-down"], seed=7)
    assert [posts.song(place).length for place in range(4)] == [20, 40, 60, 80]
    assert posts.is_all(4, over=False) and not posts.is_all(3, over=True)


def test_a_port_forward_that_breaks_is_started_again(stub, monkeypatch):
    for name, value in stub.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STUB_DROPS", "yes")
    deadline = time.monotonic() + 120
    with forwarded(Plan(context="kind-home", namespace="songs")) as url:
        while len(stub.calls) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    port = url.rpartition(":")[2]
    wanted = f"--context kind-home --namespace songs port-forward service/rest-server {port}:5000"
    assert stub.calls[:2] == [wanted, wanted]


def played(stub: Stub, monkeypatch: pytest.MonkeyPatch, fault: str) -> list[str]:
    """The calls of a fault that change something."""
    for name, value in stub.env.items():
        monkeypatch.setenv(name, value)
    for name in ("power-off", "power-on"):
        stub.make(name, f'#!/bin/sh\necho "{name.removeprefix("power-")} $*" >>"$STUB_LOG"\n')
    plan = Plan(context="kind-home", namespace="songs", power_off="power-off", power_on="power-on", power_seconds=0)
    row = Row(fault, [Song(place, SECONDS, state="running") for place in range(4)])
    found = (FAULTS | MEASUREMENTS)[fault]
    with found.around(Cluster(plan)):
        found.action(Cluster(plan), row)
    return [call for call in stub.calls if " get " not in call]


def test_songs_differ_by_their_seed_and_last_as_long_as_asked():
    assert music(1, SECONDS) == music(1, SECONDS) != music(2, SECONDS)
    with wave.open(io.BytesIO(music(3, 2))) as song:
        assert (song.getnframes(), song.getnchannels()) == (2 * RATE, 2)


def test_a_row_tells_lost_songs_and_the_slowest():
    returned = Song(1, SECONDS, attempts=1, starts={"12:00", "12:01", "12:02"}, seconds=5)
    row = Row("a fault", [returned, Song(2, SECONDS, attempts=3, starts={"12:00"}, seconds=61.4, lost="why")])
    row.calls.update({"no answer": 4, "answered": 9})
    assert table_line(row) == "| a fault | 2 | 1 | 4 | 2 | 0 | 4 | 61 s |\n"
