"""Faults put into the process that reads songs, and into no other: Python runs a sitecustomize.py as it starts."""

from __future__ import annotations


def break_sandbox(tmp_path, monkeypatch, code):
    """`code` runs in the helper, and in nothing else that is started here."""
    guard = "import sys\nif 'msaas.audio.sandbox.fork_server' in ' '.join(sys.orig_argv):\n"
    (tmp_path / "sitecustomize.py").write_text(guard + "".join(f"    {line}\n" for line in code.splitlines()))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
