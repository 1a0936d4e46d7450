"""Weights of the catalogue's models from their mirrors, and the cache of them. Rejects files with another checksum.

Demucs' own models have other sources (hub, mirror). The cache has a folder `<name>/` for each model, in the layout of
MSAAS_MODEL_REPO.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from msaas.catalogue import Entry, ModelFile, catalogue
from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import is_config, read_yaml
from msaas.separation.weights.download import BROKEN, fill, touch
from msaas.separation.weights.sources import (
    PROBE_SECONDS,
    FoundWeights,
    WeightsNotFound,
    in_folder,
    sha256_of,
    user_folder,
    within,
)

log = logging.getLogger(__name__)


class CatalogueMirrors:
    """The mirrors that the catalogue names, and the cache in `folder` (default: the user's)."""

    def __init__(
        self,
        folder: Path | None = None,
        probe_seconds: float = PROBE_SECONDS,
        *,
        find: Callable[[str], Entry | None] = lambda name: catalogue().get(name),
    ) -> None:
        self._configured, self._probe_seconds, self._find = folder, probe_seconds, find

    @property
    def _folder(self) -> Path:
        return self._configured or cache_folder()

    def cached(self, name: str) -> FoundWeights:
        return self._found(name, verify=True)

    def held(self, name: str) -> str:
        return self._found(name, verify=False).where

    def _found(self, name: str, verify: bool) -> FoundWeights:
        self._entry(name)
        if not (self._folder / name).is_dir():
            raise WeightsNotFound(f"the cache {self._folder} has no {name}")
        return in_folder(name, self._folder, verify=verify)

    def probe(self, name: str) -> None:
        for file in self._entry(name).files:
            self._first_that_answers(file)

    def download(self, name: str) -> FoundWeights:
        entry = self._entry(name)
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            for file, target in _targets(entry, folder):
                if not target.exists():
                    _from_mirrors(file, target)
        return in_folder(name, self._folder)

    def _entry(self, name: str) -> Entry:
        entry = self._find(name)
        if entry is not None and entry.shipped:
            raise WeightsNotFound(f"{name} comes with the source of MSaaS, and has no mirror")
        if entry is None or entry.config is None:
            raise WeightsNotFound(f"the catalogue has no mirrors of {name!r}")
        return entry

    def _first_that_answers(self, file: ModelFile) -> None:
        reasons = []
        for address in file.urls:
            try:
                within(self._probe_seconds, partial(touch, address, self._probe_seconds))
                return
            except BROKEN as error:
                reasons.append(f"{address}: {type(error).__name__}: {error}")
        raise WeightsNotFound(f"no mirror of {file.file} answers ({'; '.join(reasons)})")


def cache_folder() -> Path:
    """Raises WeightsNotFound if the user has no home folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return user_folder(cache, "XDG_CACHE_HOME") / "msaas" / "models"


def _targets(entry: Entry, folder: Path) -> Iterator[tuple[ModelFile, Path]]:
    """Each file of an entry and where it goes. The weights come last: the folder is complete once they are there."""
    assert entry.config is not None  # noqa: S101 - refused in _entry
    yield entry.config, folder / f"{entry.name}.yaml"
    for file in entry.weights:
        suffix = Path(file.file).suffix
        yield file, folder / f"{entry.name}{f'-{file.sha256[:8]}' if file.sha256 else ''}{suffix}"


def _from_mirrors(file: ModelFile, target: Path) -> None:
    """Downloads from the first mirror that has the right file. Raises WeightsNotFound with what each one answered."""
    reasons = []
    part = target.with_name(f"{target.name}.partial")
    for address in file.urls:
        try:
            _download(address, file, part)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
            _drop_useless(part, file)
        else:
            part.chmod(0o644)
            part.replace(target)
            return
    raise WeightsNotFound(f"no mirror has {file.file} ({'; '.join(reasons)})")


def _drop_useless(part: Path, file: ModelFile) -> None:
    """Keeps a partial download only if a checksum can show whether another mirror continues it correctly."""
    if part.exists() and not (file.sha256 and part.stat().st_size):
        part.unlink()


def _download(address: str, file: ModelFile, part: Path) -> None:
    """Continues `part`, which an earlier run may have left. Deletes it if its checksum is wrong."""
    begun = part.exists()
    log.info("downloading url=%s", address)
    with part.open("ab") as opened:
        fill(address, opened, file.bytes)
    actual = sha256_of(part) if file.sha256 else ""
    if not actual.startswith(file.sha256):
        part.unlink()
        if begun:  # perhaps by another mirror
            return _download(address, file, part)
        raise WeightsNotFound(f"{address} has the sha256 {actual} instead of {file.sha256}; deleted")
    if file.bytes not in (None, part.stat().st_size):  # the mirror did not say how long its file is
        part.unlink()
        raise WeightsNotFound(f"{address} has another length than {file.bytes} bytes; deleted")
    if Path(file.file).suffix == ".yaml" and not _is_configuration(part):
        part.unlink()
        raise WeightsNotFound(f"{address} is not a configuration; deleted")
    return None


def _is_configuration(path: Path) -> bool:
    """For example, the login page of a network must not stay in the cache."""
    try:
        return is_config(read_yaml(path))
    except ModelUnavailable:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time downloads into a folder; the next finds the files."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
