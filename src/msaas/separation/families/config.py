"""What a configuration of Music-Source-Separation-Training (MSST) says of a network and of its overlap-add.

Needs no torch. The names of the settings are MSST's: `audio.chunk_size`, `inference.num_overlap` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msaas.errors import ModelUnavailable
from msaas.options import STEM_NAME
from msaas.separation.weights.config import MAX_CHUNK_SECONDS, read_yaml

DEFAULT_SAMPLE_RATE = 44_100  # where MSST's `inference.py` finds none
MAX_SAMPLE_RATE = 384_000


@dataclass(frozen=True)
class FamilyConfig:
    """A network's configuration, checked as far as the overlap-add needs it."""

    path: Path
    family: str
    content: Mapping[str, Any]
    sample_rate: int  # Hz
    chunk_samples: int
    overlaps: int
    normalize: bool
    instruments: tuple[str, ...]  # stem names, one per output of the network
    rest: str | None  # the stem that is the mixture without the only instrument

    @classmethod
    def read(cls, path: Path, family: str) -> FamilyConfig:
        """Raises ModelUnavailable naming the setting that is missing or wrong."""
        content = read_yaml(path)
        settings = _Settings(path, content)
        instruments = settings.stems("training", "instruments")
        sample_rate = settings.sample_rate()
        target = settings.section("training").get("target_instrument")
        outputs = (_stem_name(target, path),) if target else instruments
        return cls(
            path=path,
            family=family,
            content=content,
            sample_rate=sample_rate,
            chunk_samples=settings.chunk_samples(sample_rate),
            overlaps=settings.positive("inference", "num_overlap"),
            normalize=settings.section("inference").get("normalize") is True,
            instruments=outputs,
            rest=_rest_of(outputs, instruments) if len(outputs) == 1 else None,
        )

    @property
    def sources(self) -> tuple[str, ...]:
        return self.instruments if self.rest is None else (*self.instruments, self.rest)


@dataclass(frozen=True)
class _Settings:
    """Reads the sections of a configuration."""

    path: Path
    content: Mapping[str, Any]

    def section(self, name: str) -> Mapping[str, Any]:
        found = self.content.get(name)
        if not isinstance(found, Mapping):
            raise ModelUnavailable(f"{self.path} has no section `{name}`")
        return found

    def positive(self, section: str, key: str, default: int | None = None) -> int:
        value = self.section(section).get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelUnavailable(f"{self.path}: {section}.{key} must be a whole number above 0, not {value!r}")
        return value

    def sample_rate(self) -> int:
        rate = self.positive("audio", "sample_rate", default=DEFAULT_SAMPLE_RATE)
        if rate > MAX_SAMPLE_RATE:
            raise ModelUnavailable(f"{self.path}: audio.sample_rate is {rate}; the most is {MAX_SAMPLE_RATE} Hz")
        return rate

    def chunk_samples(self, sample_rate: int) -> int:
        """As in MSST, `inference` comes before `audio`."""
        section = "inference" if "chunk_size" in self.section("inference") else "audio"
        chunk = self.positive(section, "chunk_size")
        if chunk > MAX_CHUNK_SECONDS * sample_rate:
            raise ModelUnavailable(
                f"{self.path}: {section}.chunk_size is {chunk}; a chunk may be at most {MAX_CHUNK_SECONDS} s long, "
                f"{MAX_CHUNK_SECONDS * sample_rate} samples"
            )
        return chunk

    def stems(self, section: str, key: str) -> tuple[str, ...]:
        given = self.section(section).get(key)
        if not isinstance(given, list | tuple) or not given:
            raise ModelUnavailable(f"{self.path}: {section}.{key} must be a list of names, not {given!r}")
        names = tuple(_stem_name(name, self.path) for name in given)
        if len(set(names)) < len(names):
            raise ModelUnavailable(f"{self.path}: {section}.{key} has a name twice: {', '.join(names)}")
        return names


def _rest_of(outputs: tuple[str, ...], instruments: tuple[str, ...]) -> str:
    """The other one of two instruments, as in [vocals, other]; else `no_<target>`."""
    others = [name for name in instruments if name not in outputs]
    return others[0] if len(others) == 1 and len(instruments) == 2 else f"no_{outputs[0]}"[:32]


def _stem_name(name: Any, path: Path) -> str:
    """A stem's name as requests use it: "Lead Vocals" is lead_vocals."""
    plain = re.sub(r"[^a-z0-9]+", "_", str(name).lower()).strip("_")
    if not STEM_NAME.fullmatch(plain):
        raise ModelUnavailable(f"{path}: {name!r} cannot be a stem's name (a-z, 0-9 and _, at most 32)")
    return plain
