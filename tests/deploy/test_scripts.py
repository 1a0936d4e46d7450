"""deploy-all.sh against a kubectl that renders in earnest and otherwise only writes down; helm-sdk.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from msaas.settings.callback_secrets import Secret
from tests.deploy.conftest import OVERLAYS, REPOSITORY, tool
from tests.support.kubectl import STUB


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
    ("overlay", "builds"),
    [
        ("weights-image", ["--weights none", "--weights-only htdemucs_mini"]),
        ("weights-volume", ["--weights none"]),
        ("keda", ["--weights htdemucs_mini"]),
    ],
)
def test_weights_are_built_into_the_image_that_the_overlay_takes_them_from(stub, overlay, builds):
    done = stub.run("deploy-all.sh", "--dry-run", "--build", "--overlay", overlay, "--weights", "htdemucs_mini")
    assert done.returncode == 0, done.stderr
    calls = [line for line in done.stdout.splitlines() if "images.sh" in line]
    assert [line.removeprefix("would run: deploy/tools/images.sh ") for line in calls] == builds


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--overlay", "nothing"), "there are: cluster-smoke cluster-test container-smoke external"),
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


# --- all scripts


def test_without_the_labs_cluster_the_cluster_test_says_that_it_tested_nothing(stub):
    stub.env["LAB_CLUSTER"] = "/nowhere/cluster.sh"
    done = stub.run("deploy/tools/cluster-test.sh")
    assert done.returncode == 0
    assert done.stdout.startswith("cluster-test: skipped, nothing was tested: /nowhere/cluster.sh is not there")
    assert not stub.calls


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
    files.append(str(REPOSITORY / "worker" / "weights.Dockerfile"))
    done = subprocess.run([tool("hadolint"), *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_are_executable_and_stop_at_the_first_error():
    for script in (*REPOSITORY.glob("deploy-*.sh"), *(REPOSITORY / "deploy" / "tools").glob("*.sh")):
        if script.name == "lab.sh":  # sourced
            continue
        assert os.access(script, os.X_OK), script.name
        assert "\nset -euo pipefail\n" in script.read_text(encoding="utf-8"), script.name
    assert shutil.which("bash")


# --- helm-sdk.py

HELM_SDK = """
def parse_set_string(text): return dict(part.split("=") for part in text.split(","))
def helm_sdk_version(): return "v4"
class Config:
    def __init__(self, **options): print("config", options)
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def history(self, _name): return [{"revision": 1, "status": "deployed"}]
    def __getattr__(self, name): return lambda *given, **options: print(name, given, options)
"""


@pytest.mark.parametrize(
    ("command", "call"),
    [
        (
            "install msaas a/chart --wait --timeout 15m --set a=1 --set b=x",
            "install ('a/chart', 'msaas', {'a': '1', 'b': 'x'}) "
            "{'namespace': 'songs', 'wait': 'watcher', 'timeout': 900}",
        ),
        (
            "upgrade msaas a/chart --reuse-values --timeout 90s",
            "upgrade ('a/chart', 'msaas', {}) "
            "{'namespace': 'songs', 'reuse_values': True, 'wait': None, 'timeout': 90}",
        ),
        ("rollback msaas 1 --wait", "rollback ('msaas',) {'version': 1, 'wait': 'watcher', 'timeout': 300}"),
        ("uninstall msaas --wait", "uninstall ('msaas',) {'wait': 'watcher', 'timeout': 300}"),
    ],
)
def test_a_helm_command_is_a_call_of_the_sdk(tmp_path, command, call):
    (tmp_path / "helm_python.py").write_text(HELM_SDK)
    program = REPOSITORY / "deploy/tools/helm-sdk.py"
    done = subprocess.run(
        [sys.executable, program, *command.split(), "--namespace", "songs"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["config {'namespace': 'songs'}", call]
    assert lines[2:] == ([] if "uninstall" in command else ["Helm v4: revision 1 is deployed"])
