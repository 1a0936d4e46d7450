"""Kills process groups when its parent has ended. Runs as a script; imports only the standard library.

Standard input takes lines `+<group>` and `-<group>`; its end is the signal to kill. Until the groups have ended it
keeps inherited descriptors open, such as a lock, so that the lock's next holder finds none of them running.
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
    """Returns False if the group has no processes."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return False
    return True


def _is_zombie(leader: int) -> bool:
    """Dead but not reaped: some containers do not reap orphans."""
    try:
        with open(f"/proc/{leader}/stat") as file:  # noqa: PTH123 (importing pathlib takes longer than all of this)
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


if __name__ == "__main__":
    main()
