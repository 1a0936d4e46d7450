"""A kubectl that renders in earnest and otherwise only writes down, for the scripts of an installation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

from tests.support.environment import REPOSITORY

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

    def __init__(self, folder: Path, kubectl: str) -> None:
        """kubectl: the real one, which renders."""
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
            "STUB_KUBECTL": kubectl,
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
