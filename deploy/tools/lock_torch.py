"""Gives the torch of a fresh lock the hashes that the lock before it had, where the version is the same.

    python deploy/tools/lock_torch.py BEFORE AFTER

pip-compile names and hashes the one build that it found (2.13.0+cpu). The images choose theirs by index, and each
index has builds of its own: the lock names the release alone, with the hashes of all builds that it was made with.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LINE = re.compile(r"^torch==(?P<version>[0-9.]+)(?:\+\w+)?(?P<hashes>(?: *\\\n +--hash=\S+)*) *\n", re.MULTILINE)
HASH = re.compile(r"--hash=(\S+)")


def merged(before: str, after: str) -> str:
    """Raises ValueError where `after` has no torch."""
    old, new = LINE.search(before), LINE.search(after)
    if new is None:
        raise ValueError("the lock has no line for torch")
    hashes = set(HASH.findall(new["hashes"]))
    if old and old["version"] == new["version"]:
        hashes |= set(HASH.findall(old["hashes"]))
    lines = [f"torch=={new['version']}", *(f"    --hash={value}" for value in sorted(hashes))]
    return after[: new.start()] + " \\\n".join(lines) + "\n" + after[new.end() :]


def main() -> None:
    before, after = (Path(name) for name in sys.argv[1:])
    after.write_text(merged(before.read_text(encoding="utf-8"), after.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
