"""The table of docs/reliability.md, from what the rows counted."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.lab.lab import RowResult

HEADS = ("#", "fault", "injected", "jobs", "done", "dead", "cancelled", "lost", "doubled", "p99 recovery", "result")


def table(results: Sequence[RowResult]) -> str:
    rule = "|" + "---|" * len(HEADS)
    return "\n".join([f"| {' | '.join(HEADS)} |", rule, *(line(result) for result in results)])


def line(result: RowResult) -> str:
    account = result.account
    recovery = f"{result.p99_seconds:.2f} s" if result.p99_seconds is not None else "–"
    verdict = "passed" if result.passed else "**FAILED**: " + "; ".join(result.wrong)
    cells = [result.row, result.fault, result.injected, result.jobs, account.done, account.dead, account.cancelled]
    cells += [len(account.lost), len(account.doubled), recovery, ", ".join([verdict, *result.notes])]
    return f"| {' | '.join(map(str, cells))} |"
