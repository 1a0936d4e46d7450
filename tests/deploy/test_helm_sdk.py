"""helm-sdk.py calls Helm's SDK as the commands of cluster-test.sh say. The SDK is a stand-in."""

import subprocess
import sys

import pytest

from tests.support.environment import REPOSITORY

STAND_IN = """
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
def test_a_command_is_a_call_of_the_sdk(tmp_path, command, call):
    (tmp_path / "helm_python.py").write_text(STAND_IN)
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
