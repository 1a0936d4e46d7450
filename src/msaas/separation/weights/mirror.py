"""Weights from Meta's mirror and torch's local cache of it. Rejects files with a wrong checksum.

The demucs package lists the files and the first digits of each sha256. torch's own download (torch.hub) has no
time-out; this one does, and resumes broken downloads.
"""

from __future__ import annotations

import logging
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from msaas.separation.weights.config import valid_name
from msaas.separation.weights.download import BROKEN, fill, touch
from msaas.separation.weights.sources import (
    PROBE_SECONDS,
    FoundWeights,
    ModelManifest,
    WeightsDamaged,
    WeightsNotFound,
    user_folder,
    verify_name_checksum,
    within,
)

log = logging.getLogger(__name__)

MIRROR_URL = "https://dl.fbaipublicfiles.com/demucs/"  # demucs.pretrained.ROOT_URL; importing that would load torch


class Mirror:
    """The mirror at `root_url` and the folder in which torch.hub keeps its files."""

    def __init__(
        self,
        root_url: str = MIRROR_URL,
        folder: Path | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._root_url = root_url.rstrip("/") + "/"
        self._configured = folder
        self._probe_seconds = probe_seconds

    @property
    def _folder(self) -> Path:
        return self._configured or torch_hub_folder()

    def cached(self, name: str) -> FoundWeights:
        found = self._found(name)
        for file in found.files:
            _verify(file)
        return found

    def held(self, name: str) -> str:
        return self._found(name).where

    def _found(self, name: str) -> FoundWeights:
        manifest, addresses = self._manifest_and_urls(name)
        files = [self._folder / address.rpartition("/")[2] for address in addresses]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise WeightsNotFound(f"torch's cache {self._folder} has no {missing[0]}")
        return FoundWeights(manifest, tuple(files), f"torch's cache {self._folder}")

    def probe(self, name: str) -> None:
        _, addresses = self._manifest_and_urls(name)
        try:
            within(self._probe_seconds, lambda: touch(addresses[0], self._probe_seconds))
        except BROKEN as error:
            raise WeightsNotFound(f"the mirror {addresses[0]}: {type(error).__name__}: {error}") from error

    def download(self, name: str) -> FoundWeights:
        manifest, addresses = self._manifest_and_urls(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        files = [self._folder / address.rpartition("/")[2] for address in addresses]
        for address, file in zip(addresses, files, strict=True):
            if not file.is_file():
                _download(address, file)
            _verify(file)
        return FoundWeights(manifest, tuple(files), f"the mirror {self._root_url}")

    def _manifest_and_urls(self, name: str) -> tuple[ModelManifest, list[str]]:
        listing = _package_folder() / f"{name}.yaml"
        manifest = ModelManifest.read(listing) if valid_name(name) and listing.is_file() else ModelManifest((name,))
        paths = _paths_by_signature()
        unknown = [signature for signature in manifest.signatures if signature not in paths]
        if unknown:
            raise WeightsNotFound(f"the mirror {self._root_url} has no model {unknown[0]!r}")
        return manifest, [self._root_url + paths[signature] for signature in manifest.signatures]


def torch_hub_folder() -> Path:
    """torch.hub.get_dir() / "checkpoints", without loading torch. Raises WeightsNotFound if there is no home folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return user_folder(os.environ.get("TORCH_HOME", f"{cache}/torch"), "TORCH_HOME") / "hub" / "checkpoints"


def _package_folder() -> Path:
    spec = find_spec("demucs")  # finds a package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise WeightsNotFound("the package demucs, which lists the mirror's files, is not installed")
    return Path(spec.submodule_search_locations[0]) / "remote"


def _paths_by_signature() -> dict[str, str]:
    """Signature ▸ path below the mirror's root, read from files.txt as demucs.pretrained._parse_remote_files does."""
    root, paths = "", {}
    for line in (_package_folder() / "files.txt").read_text("utf-8").splitlines():
        entry = line.strip()
        if entry.startswith("root:"):
            root = entry.partition(":")[2].strip()
        elif entry and not entry.startswith("#"):
            paths[entry.partition("-")[0]] = root + entry
    return paths


def _verify(file: Path) -> None:
    try:
        verify_name_checksum(file)
    except WeightsDamaged as damaged:
        file.unlink()
        raise WeightsDamaged(f"{damaged}; deleted") from None


def _download(address: str, target: Path) -> None:
    """Downloads `address` completely, then moves it to `target`; leaves nothing after a failure."""
    log.info("downloading url=%s", address)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as partial:
        try:
            fill(address, partial)
            Path(partial.name).chmod(0o644)
            Path(partial.name).replace(target)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise
