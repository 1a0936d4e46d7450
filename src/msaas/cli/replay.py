"""What `msaas dead replay` and `msaas callbacks replay` share: one after the other, the outcome of each on a line."""

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


def report(found: Iterable[tuple[str, str]], success: str) -> int:
    """The exit status: 1 where one of them could not be replayed; the others are all the same."""
    failed = 0
    for name, outcome in found:
        failed += outcome != success
        print(printable(f"{name[:80]}: {outcome}"))
    return 1 if failed else 0
