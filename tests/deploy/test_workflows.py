"""The workflows: pinned actions, few permissions, nothing published before the tests; and the notes of a release."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.tools.release_notes import notes_of
from tests.support.environment import REPOSITORY

FOLDER = REPOSITORY / ".github" / "workflows"
NAMES = sorted(path.name for path in FOLDER.glob("*.yml"))
USES = re.compile(r"uses: (\S+)(.*)")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
# Jobs that may do more than read, and what for.
MAY = {
    ("release.yml", "wheel"): {"id-token", "attestations"},
    ("release.yml", "pypi"): {"id-token"},
    ("release.yml", "images"): {"packages", "id-token"},
    ("release.yml", "chart"): {"packages", "id-token"},
    ("release.yml", "notes"): {"contents"},
}


def workflow(name: str) -> dict[str, Any]:
    """`on` stays a text: YAML 1.1 would read it as true."""
    found = yaml.load((FOLDER / name).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - texts only
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(name: str) -> None:
    found = USES.findall((FOLDER / name).read_text(encoding="utf-8"))
    assert found
    for action, comment in found:
        assert PINNED.fullmatch(action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_an_action_has_one_pin() -> None:
    text = "".join((FOLDER / name).read_text(encoding="utf-8") for name in NAMES)
    pins = {tuple(action.split("@")) for action, _ in USES.findall(text)}
    assert len({action for action, _ in pins}) == len(pins)


@pytest.mark.parametrize("name", NAMES)
def test_jobs_read_only_but_for_those_that_publish(name: str) -> None:
    found = workflow(name)
    assert found["permissions"] == {"contents": "read"}
    for job, content in found["jobs"].items():
        writes = {scope for scope, right in content.get("permissions", {}).items() if right == "write"}
        assert writes == MAY.get((name, job), set()), job
        assert "timeout-minutes" in content, job


@pytest.mark.parametrize("name", NAMES)
def test_no_checkout_leaves_its_credentials_and_no_expression_is_put_into_a_script(name: str) -> None:
    """What a branch or a tag is called could be a command."""
    for job in workflow(name)["jobs"].values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"
            assert "${{" not in step.get("run", "")


def test_a_release_is_of_a_tag_and_publishes_after_the_tests() -> None:
    found = workflow("release.yml")
    assert found["on"] == {"push": {"tags": ["v*"]}}
    jobs = found["jobs"]
    assert any(".ci/run" in step.get("run", "") for step in jobs["check"]["steps"])

    def reaches_check(job: str) -> bool:
        needs = jobs[job].get("needs", [])
        return job == "check" or any(map(reaches_check, [needs] if isinstance(needs, str) else needs))

    assert all(map(reaches_check, jobs))
    assert "secrets." not in str(jobs["pypi"]), "trusted publishing needs no token"


def test_images_are_built_for_two_processors_listed_proven_and_signed() -> None:
    steps = workflow("release.yml")["jobs"]["images"]["steps"]
    [build] = [step["with"] for step in steps if step.get("uses", "").startswith("docker/build-push-action@")]
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["sbom"], build["provenance"]) == ("true", "mode=max")
    [sign] = [step for step in steps if "cosign sign" in step.get("run", "")]
    assert "outputs.digest" in sign["env"]["REFERENCE"]


# --- notes

CHANGELOG = (
    "# Changelog\n\n## Unreleased\n\n- later\n\n## 0.2.0 (2026-12-01)\n\n### Added\n- this\n\n## 0.1.0\n\n- first\n"
)


def test_notes_are_the_versions_own_section() -> None:
    assert notes_of(CHANGELOG, "0.2.0") == "### Added\n- this"
    assert notes_of(CHANGELOG, "0.1.0") == "- first"
    for missing in ("0.3.0", "0.2", "2.0", "0x2x0"):
        assert notes_of(CHANGELOG, missing) is None
    assert notes_of("## 1.0\n\n## 0.9\n- x\n", "1.0") is None, "an empty one is none"
