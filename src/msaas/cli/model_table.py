"""The catalogue's facts as a table: for a terminal, and as the table of docs/models.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msaas.catalogue import Entry
from msaas.catalogue.licences import SETTING
from msaas.catalogue.records import FAMILIES, Score

COLUMNS = ("MODEL", "STEMS", "LICENCE", "SDR, dB", "CPU/GPU", "WEIGHTS")
REFUSED = "refused: licence not stated"
UNKNOWN = "–"
MULTISONG = "MVSEP Multisong"


@dataclass(frozen=True)
class ModelRow:
    """One model: its entry, None for one that the catalogue does not have; where its weights are, in words."""

    name: str
    entry: Entry | None
    weights: str
    stems: tuple[str, ...] = ()  # empty if they are known only once the model is loaded
    default: bool = False
    is_here: bool = False  # on this machine, and its licence is stated or accepted


def text_table(rows: Sequence[ModelRow]) -> str:
    cells = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
    if any(row.weights == REFUSED for row in rows):
        lines.append(f"\nA refused model is used once its name is in {SETTING}: docs/models.md")
    return "\n".join(lines)


def _cells(row: ModelRow) -> tuple[str, ...]:
    name = f"{row.name} (default)" if row.default else row.name
    stems = ",".join(row.stems) or UNKNOWN
    if row.entry is None:
        return (name, stems, *[UNKNOWN] * 3, row.weights)
    entry = row.entry
    return (name, stems, entry.licence.id, best_score(entry), speed(entry), row.weights)


def speed(entry: Entry) -> str:
    return f"{entry.speed.cpu or UNKNOWN}/{entry.speed.gpu or UNKNOWN}"


def best_score(entry: Entry) -> str:
    """On MVSEP's Multisong if it is published, since most models have that; else with the benchmark's name."""
    scores = sorted(entry.sdr, key=lambda score: score.benchmark != MULTISONG)
    if not scores:
        return UNKNOWN
    return _score(scores[0]) + ("" if scores[0].benchmark == MULTISONG else f" ({scores[0].benchmark})")


def _score(score: Score) -> str:
    if score.mean is not None:
        return f"{score.mean:.2f}"
    return ", ".join(f"{stem} {value:.2f}" for stem, value in score.stems.items())


def size(count: int | None) -> str:
    return "size not stated" if count is None else f"{count / 1e6:.0f} MB"


# --- docs/models.md


def markdown_tables(entries: Mapping[str, Entry]) -> str:
    """A table for each family."""
    families = {family: [one for one in entries.values() if one.family == family] for family in FAMILIES}
    return "\n\n".join(f"### {family}\n\n{_markdown(members)}" for family, members in families.items())


def _markdown(entries: Sequence[Entry]) -> str:
    head = "| model | for whom | stems | licence of the weights | in commerce | SDR, dB | size | CPU | GPU |"
    return "\n".join([head, "|---" * 9 + "|", *map(_markdown_row, entries)])


def _markdown_row(entry: Entry) -> str:
    commerce = {True: "allowed", False: "not allowed", None: "not stated"}[entry.licence.commercial]
    cells = (
        f"`{entry.name}`",
        entry.summary,
        ", ".join(entry.sources),
        entry.licence.id,
        commerce,
        "; ".join(f"{_score(score)} ({score.benchmark})" for score in entry.sdr) or UNKNOWN,
        UNKNOWN if entry.bytes is None else size(entry.bytes),
        entry.speed.cpu or UNKNOWN,
        entry.speed.gpu or UNKNOWN,
    )
    return f"| {' | '.join(cells)} |"
