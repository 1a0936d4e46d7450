"""deploy-all.sh and deploy-local-dev.sh against a kubectl that renders in earnest and otherwise only writes down."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from msaas.local.servers import free_ports
from msaas.settings.callback_secrets import Secret
from tests.deploy.conftest import OVERLAYS, REPOSITORY, tool

STUB = """#!/bin/sh
# Writes each call to $STUB_LOG; answers what the test left in $STUB_ANSWERS/<words of the call, joined by _>.
case "$1" in
  kustomize) exec "$STUB_KUBECTL" "$@" ;;
esac
printf '%s\\n' "$*" >>"$STUB_LOG"
case "$*" in
  *port-forward*) [ -n "$STUB_DROPS" ] && exit 1; exec sleep 60 ;;
  "apply -f "*) cat "$3" >>"$STUB_LOG.applied"; printf -- '---\\n' >>"$STUB_LOG.applied" ;;
esac
for answer in "$STUB_ANSWERS"/*; do
  [ -e "$answer" ] || continue
  case "$*" in
    *"$(basename "$answer" | tr _~ ' /')"*) cat "$answer"; grep -q '^FAIL' "$answer" && exit 1 || exit 0 ;;
  esac
done
exit 0
"""


class Stub:
    """A PATH on which kubectl, docker, kind and minikube are stubs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log, self.answers = folder, folder / "calls", folder / "answers"
        self.bin = folder / "bin"
        for made in (self.bin, self.answers):
            made.mkdir()
        self.log.touch()
        for name in ("kubectl", "kind", "minikube"):
            self.make(name, STUB.replace('"$*" >>', f'"{"" if name == "kubectl" else name + " "}$*" >>'))
        self.answer("get_secret", "FAIL")
        self.env = {
            "PATH": f"{self.bin}:{os.defpath}",
            "HOME": str(folder),
            "STUB_LOG": str(self.log),
            "STUB_ANSWERS": str(self.answers),
            "STUB_KUBECTL": tool("kubectl"),
            "STUB_DROPS": "",
        }

    def make(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def answer(self, call: str, text: str) -> None:
        (self.answers / call).write_text(text + "\n", encoding="utf-8")

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(REPOSITORY / script), *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=240,  # a busy machine
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    def applied_anything(self) -> bool:
        return any(call.startswith("apply") for call in self.calls)

    @property
    def applied(self) -> list[dict]:
        text = Path(f"{self.log}.applied").read_text(encoding="utf-8")
        return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path)


# --- deploy-all.sh


def test_everything_is_applied_in_order_and_waited_for(stub):
    done = stub.run("deploy-all.sh", "--no-build")
    assert done.returncode == 0, done.stderr
    steps = [call for call in stub.calls if call.startswith(("apply", "-n msaas create", "-n msaas rollout"))]
    words = [call.split("--")[0].strip() for call in steps]
    assert [word.split("/")[-1] for word in words] == [
        "namespace.yaml",
        "-n msaas create secret generic msaas-minio",
        "-n msaas create secret generic msaas-redis",
        "-n msaas create secret generic msaas-callback-secrets",
        "all.yaml",
        "redis",
        "minio",
        "rest-server",
        "logs",
        "worker",
    ]
    assert {"StatefulSet", "Deployment", "Ingress", "Job"} <= {document["kind"] for document in stub.applied}
    assert "port-forward service/rest-server 5000:5000" in done.stdout
    assert "curl -F file=@data/the-slow-river.mp3 http://localhost:5000/apiv1/separate" in done.stdout


def test_it_leaves_nothing_behind_in_the_tree(stub):
    stub.run("deploy-all.sh", "--no-build")
    [made] = {Path(call.split()[2]).parent for call in stub.calls if call.startswith("apply -f")}
    assert made.parts[0] == "deploy"
    assert not (REPOSITORY / made).exists()


def test_secrets_are_random_and_made_once(stub):
    stub.run("deploy-all.sh", "--no-build")
    made = [call for call in stub.calls if "create secret" in call]
    literals = [word.removeprefix("--from-literal=") for call in made for word in call.split()[6:]]
    keys = dict(literal.split("=", 1) for literal in literals)
    assert len(Secret.parse(keys.pop("secrets")).key) == 32
    assert set(keys) == {"access-key", "secret-key", "password"}
    assert len(set(keys.values())) == 3
    assert all(len(key) == 40 for key in keys.values())
    stub.answer("get_secret", "there")
    stub.run("deploy-all.sh", "--no-build")
    assert [call for call in stub.calls if "create secret" in call] == made


def test_the_job_of_an_older_release_is_in_nobodys_way(stub):
    stub.run("deploy-all.sh", "--no-build")
    delete, apply = (stub.calls.index(call) for call in stub.calls if "delete job" in call or "all.yaml" in call)
    assert delete < apply


def test_a_dry_run_changes_nothing_and_needs_no_cluster(stub):
    stub.answer("get_namespaces", "FAIL")
    done = stub.run("deploy-all.sh", "--dry-run", "--overlay", "full")
    assert done.returncode == 0, done.stderr
    changes = ("apply", "create", "delete", "rollout")
    assert not [call for call in stub.calls if any(word in call.split() for word in changes)]
    assert "would run: kubectl apply -f" in done.stdout
    assert "needs: the API keda.sh in the cluster" in done.stdout


@pytest.mark.parametrize("overlay", OVERLAYS[1:])
def test_a_dry_run_of_any_overlay_says_what_it_would_do(stub, overlay):
    stub.answer("get_namespaces", "FAIL")
    done = stub.run("deploy-all.sh", "--dry-run", "--overlay", overlay)
    assert done.returncode == 0, done.stderr
    assert "would run: kubectl apply -f" in done.stdout
    assert done.stdout.endswith("== nothing was changed\n")


@pytest.mark.parametrize(
    ("overlay", "secret", "literal"),
    [("external", "msaas-minio", "access-key=…"), ("production", "msaas-api-keys", "keys=…")],
)
def test_secrets_that_cannot_be_made_up_are_asked_for(stub, overlay, secret, literal):
    done = stub.run("deploy-all.sh", "--no-build", "--overlay", overlay)
    assert done.returncode == 1
    assert f"kubectl -n msaas create secret generic {secret} --from-literal={literal}" in done.stderr
    assert not stub.applied_anything()
    stub.answer("get_secret", "there")
    done = stub.run("deploy-all.sh", "--no-build", "--overlay", overlay)
    assert done.returncode == 0, done.stderr
    assert ("Authorization: Bearer" in done.stdout) is (secret == "msaas-api-keys")
    assert not [call for call in stub.calls if f"create secret generic {secret}" in call]


def test_a_redis_from_elsewhere_gets_no_password_made_up(stub):
    done = stub.run("deploy-all.sh", "--dry-run", "--overlay", "external")
    assert "needs: the Secret msaas-minio" in done.stdout
    assert "msaas-redis" not in done.stdout


def test_another_namespace_reaches_every_object_and_address(stub):
    stub.answer("api-resources", "scaledobjects.keda.sh")
    done = stub.run("deploy-all.sh", "--no-build", "--overlay", "keda", "--namespace", "songs")
    assert done.returncode == 0, done.stderr
    for document in stub.applied:
        space = document["metadata"]["name" if document["kind"] == "Namespace" else "namespace"]
        assert space == "songs", document["kind"]
    [scaled] = [document for document in stub.applied if document["kind"] == "ScaledObject"]
    assert {trigger["metadata"]["address"] for trigger in scaled["spec"]["triggers"]} == {"redis.songs.svc:6379"}


def test_registry_and_tag_reach_our_images_and_no_others(stub):
    stub.run("deploy-all.sh", "--no-build", "--registry", "registry.example.com/music", "--tag", "7")
    images = {
        container["image"]
        for document in stub.applied
        if document["kind"] in ("Deployment", "StatefulSet", "Job")
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    ours = {image for image in images if "msaas" in image}
    assert ours == {f"registry.example.com/music/msaas-{part}:7" for part in ("rest", "worker", "logs")}
    assert any(image.startswith("quay.io/minio/minio:") for image in images)


@pytest.mark.slow
def test_in_kind_the_images_are_built_and_loaded(stub):
    stub.answer("config_current-context", "kind-home")
    stub.make("docker", STUB.replace('"$*" >>', '"docker $*" >>'))
    done = stub.run("deploy-all.sh", "--weights", "none")
    assert done.returncode == 0, done.stderr
    builds = [call for call in stub.calls if call.startswith("docker build")]
    assert [call.split()[3] for call in builds] == ["rest/Dockerfile", "worker/Dockerfile", "logs/Dockerfile"]
    assert "--build-arg WEIGHTS=none" in builds[1]
    loaded = [call for call in stub.calls if call.startswith("kind load docker-image --name home msaas-")]
    assert len(loaded) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--overlay", "nothing"), "there are: cluster-smoke container-smoke external full gpu"),
        (("--namespace", "Not_A_Name"), "is no name for a namespace"),
        (("--surprise",), "unknown argument --surprise"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(stub, arguments, words):
    done = stub.run("deploy-all.sh", *arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert not stub.applied_anything()


def test_all_that_is_missing_is_said_at_once(stub):
    stub.answer("get_namespaces", "FAIL")
    done = stub.run("deploy-all.sh", "--overlay", "nothing")
    assert done.stderr.count("missing: ") == 2


def test_an_overlay_whose_operator_is_missing_is_refused(stub):
    done = stub.run("deploy-all.sh", "--no-build", "--overlay", "keda")
    assert done.returncode == 1
    assert "does not know keda.sh" in done.stderr


def test_what_does_not_become_ready_is_shown(stub):
    stub.answer("rollout_status_deployment~rest-server", "FAIL")
    done = stub.run("deploy-all.sh", "--no-build", "--timeout", "1")
    assert done.returncode == 1
    assert "deployment/rest-server: not ready after 1 s" in done.stderr
    assert "-n msaas logs -l app.kubernetes.io/name=rest-server --tail=20" in stub.calls


PODS, EVENTS, CLAIMS = (
    "get_pods_-l_app.kubernetes.io~part-of=msaas",
    "get_events_--field-selector_reason=FailedCreate",
    "get_persistentvolumeclaims",
)


@pytest.mark.parametrize(
    ("kind", "found", "advice"),
    [
        (PODS, "pod/worker-1\tErrImagePull\tmsaas-worker:nosuch: not found", "--tag and --registry"),
        (PODS, "pod/worker-1\tImagePullBackOff\tpull access denied", "--tag and --registry"),
        (PODS, "pod/rest-1\tCreateContainerConfigError\tcouldn't find key secret-key", "kubectl create secret"),
        (EVENTS, "ReplicaSet/rest\tFailedCreate\tforbidden: exceeded quota: few", "raise the ResourceQuota"),
        (EVENTS, 'ReplicaSet/rest\tFailedCreate\tviolates PodSecurity "restricted"', "pod-security labels"),
        (CLAIMS, "claim/data-redis-0\tUnbound\tthe claim names no StorageClass", "make a StorageClass the default"),
    ],
)
def test_what_cannot_come_up_ends_the_installation_in_kubernetes_own_words(stub, kind, found, advice):
    stub.answer("rollout_status_statefulset~redis", "FAIL")
    stub.answer(kind, found)
    done = stub.run("deploy-all.sh", "--no-build", "--timeout", "600")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if found.split("\t")[2] in line]
    assert line.startswith(": ".join(found.split("\t"))) and advice in line
    assert "statefulset/redis: what is said above does not heal by waiting" in done.stderr


@pytest.mark.parametrize(
    "found",
    [
        "pod/worker-1\tUnschedulable\t0/1 nodes are available: 1 Insufficient cpu",
        "pod/worker-1\tErrImagePull\tdial tcp: i/o timeout",
        "pod/worker-1\tCrashLoopBackOff\tback-off 10s restarting failed container",
    ],
)
def test_what_may_heal_is_said_once_and_waited_for(stub, found):
    stub.answer("rollout_status_statefulset~redis", "FAIL")
    stub.answer(PODS, found)
    done = stub.run("deploy-all.sh", "--no-build", "--timeout", "2")
    assert done.returncode == 1
    assert done.stderr.count(found.split("\t")[2]) == 1
    assert "statefulset/redis: not ready after 2 s" in done.stderr


def test_the_objects_of_earlier_names_are_removed_once_the_new_ones_are_ready(stub):
    stub.run("deploy-all.sh", "--no-build")
    removal = next(index for index, call in enumerate(stub.calls) if "delete" in call and "deployment/rest " in call)
    ready = next(index for index, call in enumerate(stub.calls) if "rollout status deployment/worker" in call)
    assert removal > ready


def test_down_keeps_volumes_and_secrets_unless_told_otherwise(stub):
    assert stub.run("deploy-all.sh", "--down").returncode == 0
    [delete] = [call for call in stub.calls if "delete" in call]
    assert "statefulsets" in delete
    assert not any(word in delete for word in ("namespace ", "secret", "persistentvolumeclaims"))
    assert stub.run("deploy-all.sh", "--down", "--purge").returncode == 0
    assert stub.calls[-1] == "delete namespace msaas --ignore-not-found"


# --- deploy-local-dev.sh

PORTS = free_ports(3)  # of a developer's machine the usual ones may be taken


class Session:
    """deploy-local-dev.sh running, its ports never bound: the stub's forwards only sleep."""

    def __init__(self, stub: Stub, *arguments: str) -> None:
        self.stub = stub
        self.output = stub.folder / "output"
        self.process = subprocess.Popen(
            [str(REPOSITORY / "deploy-local-dev.sh"), "--ports", ",".join(map(str, PORTS)), *arguments],
            env=stub.env,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def until(self, calls: int, words: str) -> None:
        deadline = time.monotonic() + 20
        while sum(words in call for call in self.stub.calls) < calls or "Ctrl-C here" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, (self.output.read_text(), self.stub.calls)
            time.sleep(0.05)

    def interrupt(self) -> str:
        """Ctrl-C: the whole group gets the signal."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=60)
        return self.output.read_text(encoding="utf-8")


@pytest.fixture
def develop(stub: Stub) -> Iterator:
    sessions = []

    def start(*arguments: str) -> Session:
        sessions.append(Session(stub, *arguments))
        return sessions[-1]

    yield start
    for session in sessions:
        if session.process.poll() is None:
            os.killpg(session.process.pid, signal.SIGKILL)
            session.process.wait()


def test_the_three_ports_are_forwarded_and_the_two_lines_told(develop, stub):
    session = develop()
    session.until(2, "port-forward")
    output = session.interrupt()
    forwards = {call for call in stub.calls if "port-forward" in call}
    redis, s3, console = PORTS
    assert forwards == {
        f"-n msaas-dev port-forward service/redis {redis}:6379",
        f"-n msaas-dev port-forward service/minio {s3}:9000 {console}:9001",
    }
    where = f"REDIS_HOST=localhost:{redis} MINIO_HOST=localhost:{s3}"
    assert f"  {where} python rest/rest-server.py\n  {where} python worker/worker-server.py\n" in output


def test_a_forward_that_drops_is_started_again(develop, stub):
    stub.env["STUB_DROPS"] = "yes"
    session = develop()
    session.until(4, "port-forward")
    assert "dropped; starting it again" in session.interrupt()


def test_ctrl_c_takes_the_servers_down_and_keeps_their_volumes(develop, stub):
    session = develop()
    session.until(2, "port-forward")
    session.interrupt()
    [delete] = [call for call in stub.calls if "delete" in call]
    assert delete.startswith("-n msaas-dev delete statefulsets,services,secrets -l ")
    assert not _children_of_group(session.process.pid)


@pytest.mark.parametrize(("argument", "deleted"), [("--keep", 0), ("--purge", 1)])
def test_keep_and_purge_do_what_they_say(develop, stub, argument, deleted):
    session = develop(argument)
    session.until(2, "port-forward")
    session.interrupt()
    assert sum("delete namespace msaas-dev" in call for call in stub.calls) == deleted
    assert sum("delete statefulsets" in call for call in stub.calls) == 0


def test_a_port_that_is_taken_is_named_before_anything_is_applied(stub):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = stub.run("deploy-local-dev.sh", "--ports", f"{PORTS[0]},{PORTS[1]},{port}")
    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert not stub.applied_anything()


def _children_of_group(group: int) -> list[str]:
    listing = subprocess.run(["/bin/ps", "-eo", "pgid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if line.split(None, 1)[0] == str(group)]


# --- all scripts


def test_shellcheck_has_nothing_to_say():
    scripts = [*REPOSITORY.glob("*.sh"), *(REPOSITORY / "deploy" / "tools").glob("*.sh")]
    assert len(scripts) >= 5
    done = subprocess.run(
        [tool("shellcheck"), "--external-sources", *map(str, scripts)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_hadolint_has_nothing_to_say():
    files = [str(REPOSITORY / part / "Dockerfile") for part in ("rest", "worker", "logs")]
    done = subprocess.run([tool("hadolint"), *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_are_executable_and_stop_at_the_first_error():
    for script in (*REPOSITORY.glob("deploy-*.sh"), *(REPOSITORY / "deploy" / "tools").glob("*.sh")):
        if script.name == "lab.sh":  # sourced
            continue
        assert os.access(script, os.X_OK), script.name
        assert "\nset -euo pipefail\n" in script.read_text(encoding="utf-8"), script.name
    assert shutil.which("bash")
