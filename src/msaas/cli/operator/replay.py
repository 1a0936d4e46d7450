"""Shared by `msaas dead replay` and `msaas callbacks replay`: replays each name and prints its outcome on a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msaas.client.names import printable
from msaas.errors import Conflict, NotFound


def outcomes(replay: Callable[[str], None], names: Iterable[str], success: str) -> Iterator[tuple[str, str]]:
    """Each name with `success`, or with the reason why it was not replayed."""
    for name in names:
        try:
            replay(name)
            yield name, success
        except (NotFound, Conflict) as error:
            yield name, error.detail


def report(found: Iterable[tuple[str, str]], success: str, nothing: str = "") -> int:
    """Prints the outcomes, or `nothing` if there are none.

    Returns the exit status: 1 if one of them could not be replayed.
    """
    failed = count = 0
    for name, outcome in found:
        count += 1
        failed += outcome != success
        print(printable(f"{name[:80]}: {outcome}"))
    if not count and nothing:
        print(nothing)
    return 1 if failed else 0
