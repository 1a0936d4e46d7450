"""Kills process groups once whoever started it is gone. A script of its own; imports only the standard library.

Standard input takes `+<group>` and `-<group>`, a line each; its end is the sign. Until the groups are dead it keeps
open what it inherited: a lock's descriptor, so that who gets the lock next finds nothing of ours alive.
"""

import os
import signal
import sys
import time

LIMIT_SECONDS = 5.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end = time.monotonic() + LIMIT_SECONDS
    while groups and time.monotonic() < end:
        groups = {group for group in groups if _kill(group) and not _is_zombie(group)}
        time.sleep(0.02)


def _kill(group: int) -> bool:
    """False where nobody of the group is left."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return False
    return True


def _is_zombie(leader: int) -> bool:
    """Dead, but not reaped: in some containers nobody reaps orphans."""
    try:
        with open(f"/proc/{leader}/stat") as file:  # noqa: PTH123 (pathlib takes longer to import than all of this)
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
