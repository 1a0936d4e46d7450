"""The `msaas` command as typed on this machine, for messages: a clone's command is rarely on PATH."""

from __future__ import annotations

import shlex
import shutil
import sysconfig
from pathlib import Path

from msaas import interpreter


def typed(arguments: str) -> str:
    """`msaas models list`, with a program that a shell in the working folder finds."""
    script = Path(sysconfig.get_path("scripts")) / "msaas"
    return f"{_program(script, shutil.which('msaas'))} {arguments}"


def _program(script: Path, on_path: str | None) -> str:
    """ours: the command of this Python, not another installation's on PATH."""
    if not script.is_file():
        return "msaas" if on_path else shlex.join(interpreter.command("-m", "msaas.cli"))
    if on_path and script.samefile(on_path):
        return "msaas"
    here = Path.cwd()
    return shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))
