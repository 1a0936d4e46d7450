"""Commands and environments for child Python processes, which never import from the working folder. Starts nothing.

Python puts the working folder first in `sys.path` for `-m` and `-c`, and for an empty entry of PYTHONPATH: a `flask.py`
that lies beside somebody's songs would be run in place of Flask.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path

SOURCE = str(Path(__file__).parents[1])


def command(*arguments: str) -> tuple[str, ...]:
    """This Python with `arguments`, for `subprocess`."""
    return (sys.executable, "-P", *arguments)


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """`given` for a process that `command` starts, and for those that it starts in turn.

    Of PYTHONPATH the entries that mean the working folder (empty, or `.`) are left out, and the others are made
    absolute. A folder in which this process found msaas is added if the other process would not search it.
    """
    path = [str(Path(entry).absolute()) for entry in given.get("PYTHONPATH", "").split(os.pathsep) if _is_named(entry)]
    if os.path.realpath(SOURCE) not in map(os.path.realpath, (*path, *_installed_in())):
        path.append(SOURCE)
    rest = {name: value for name, value in given.items() if name != "PYTHONPATH"}
    return rest | {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": os.pathsep.join(path)} if path else {})


def _is_named(entry: str) -> bool:
    return bool(entry) and os.path.normpath(entry) != os.curdir


def _installed_in() -> list[str]:
    """The folders of installed packages, which every Python searches by default."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [*site.getsitepackages(), *user]
