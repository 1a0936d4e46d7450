"""The catalogue's entries as frozen records. No I/O.

Each group of facts has `source`: the documents that it was read from. What no document says is None or NOT_STATED.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_STATED = "not stated"
RESEARCH_ONLY = "LicenseRef-research-only"  # the author says so in words; SPDX has no licence for it
NETWORK_FAMILIES = ("demucs", "scnet", "bs_roformer", "mel_band_roformer", "mdx23c")
FAMILIES = (*NETWORK_FAMILIES, "ensemble")  # an ensemble's files are its configuration and its members' weights
SPEEDS = ("fast", "medium", "slow")

# What each licence of an entry allows, by SPDX identifier: use in commerce.
LICENCES = {
    "MIT": True,
    "Apache-2.0": True,
    "CC-BY-4.0": True,
    "CC-BY-SA-4.0": True,
    "GPL-3.0-only": True,
    "CC-BY-NC-4.0": False,
    "CC-BY-NC-SA-4.0": False,
    RESEARCH_ONLY: False,
}


class CatalogueError(ValueError):
    """A file of the catalogue is wrong; the message names the file, the entry and the field."""


@dataclass(frozen=True)
class Document:
    """A document that facts were read from."""

    title: str
    url: str


@dataclass(frozen=True)
class ModelFile:
    """A file of a model. `sha256`: its digits, or the first of them; `bytes` None if not stated."""

    file: str
    urls: tuple[str, ...]  # mirrors, in the order in which they are tried
    source: tuple[str, ...]
    bytes: int | None = None
    sha256: str = ""  # empty if no document has it


@dataclass(frozen=True)
class Licence:
    """The licence of the weights (not of the code): an SPDX identifier, or NOT_STATED."""

    id: str
    source: tuple[str, ...]
    statement: str = ""  # what the document says
    note: str = ""

    @property
    def stated(self) -> bool:
        return self.id != NOT_STATED

    @property
    def commercial(self) -> bool | None:
        """Whether it allows use in commerce; None if it is not stated."""
        return LICENCES[self.id] if self.stated else None


@dataclass(frozen=True)
class Training:
    """Who trained the model, and on which data; None: not stated."""

    source: tuple[str, ...]
    by: str | None = None
    data: str | None = None


@dataclass(frozen=True)
class Score:
    """A published signal-to-distortion ratio in dB: the mean over the stems, and of each."""

    benchmark: str
    source: tuple[str, ...]
    mean: float | None = None
    stems: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Speed:
    """One of SPEEDS on a CPU and on a GPU, as docs/models.md defines them; None if not measured."""

    source: tuple[str, ...]
    cpu: str | None = None
    gpu: str | None = None


@dataclass(frozen=True)
class Entry:
    """One model. `source` has the documents of `sources` and `sample_rate`."""

    name: str
    family: str
    summary: str  # one sentence: for whom it is
    sources: tuple[str, ...]
    sample_rate: int  # Hz
    source: tuple[str, ...]
    weights: tuple[ModelFile, ...]
    licence: Licence
    training: Training
    config: ModelFile | None = None
    sdr: tuple[Score, ...] = ()
    speed: Speed = field(default_factory=lambda: Speed(()))
    refines: tuple[str, ...] = ()  # the stems that it is made to separate further
    note: str = ""

    @property
    def bytes(self) -> int | None:
        """The size of all weights; None if one of them is not stated."""
        sizes = [one.bytes for one in self.weights]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def shipped(self) -> bool:
        """Whether it comes with MSaaS, and nowhere else."""
        return not any(file.urls for file in self.weights)

    @property
    def files(self) -> tuple[ModelFile, ...]:
        return (*self.weights, *((self.config,) if self.config else ()))

    def documents(self) -> Iterator[str]:
        """The ids of all its documents."""
        groups: tuple[Any, ...] = (self, *self.files, self.licence, self.training, *self.sdr, self.speed)
        for group in groups:
            yield from group.source

    def facts(self) -> dict[str, Any]:
        """What the API and `--json` report, ready for JSON."""
        return {
            "family": self.family,
            "summary": self.summary,
            "sources": list(self.sources),
            "refines": list(self.refines),
            "sample_rate": self.sample_rate,
            "bytes": self.bytes,
            "licence": {
                "id": self.licence.id,
                "commercial": self.licence.commercial,
                "statement": self.licence.statement,
                "note": self.licence.note,
            },
            "training": {"by": self.training.by, "data": self.training.data},
            "sdr": [{"benchmark": one.benchmark, "mean": one.mean, "stems": dict(one.stems)} for one in self.sdr],
            "speed": {"cpu": self.speed.cpu, "gpu": self.speed.gpu},
            "note": self.note,
        }


@dataclass(frozen=True)
class Catalogue:
    """All entries by name, and the documents by id."""

    entries: Mapping[str, Entry]
    documents: Mapping[str, Document]

    def get(self, name: str) -> Entry | None:
        return self.entries.get(name)

    def shipped(self) -> tuple[str, ...]:
        """The names of the models that come with MSaaS."""
        return tuple(name for name, entry in self.entries.items() if entry.shipped)
