"""Weights from Meta's mirror and torch's cache of it on this machine. Refuses files of the wrong checksum.

Which files there are, and the first digits of each one's sha256, comes with the demucs package. torch's own
download (torch.hub) knows no time-out; this one does, and takes up again where a connection broke.
"""

from __future__ import annotations

import http.client
import logging
import os
import tempfile
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from msaas.separation.weights.sources import (
    PROBE_SECONDS,
    FoundWeights,
    ModelManifest,
    WeightsDamaged,
    WeightsNotFound,
    hold_name_checksum,
    user_folder,
    valid_name,
    within,
)

log = logging.getLogger(__name__)

MIRROR_URL = "https://dl.fbaipublicfiles.com/demucs/"  # demucs.pretrained.ROOT_URL; importing it would load torch
ATTEMPTS = 5
READ_SECONDS = 10.0
_CHUNK_BYTES = 1 << 20
_BROKEN = (OSError, http.client.HTTPException)  # URLError and time-outs are OSErrors


class Mirror:
    """The mirror at `root_url` and the folder that torch.hub keeps its files in."""

    def __init__(
        self,
        root_url: str = MIRROR_URL,
        folder: Path | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._root_url = root_url.rstrip("/") + "/"
        self._given = folder
        self._probe_seconds = probe_seconds

    @property
    def _folder(self) -> Path:
        return self._given or torch_hub_folder()

    def cached(self, name: str) -> FoundWeights:
        recipe, addresses = self._offer(name)
        files = [self._folder / address.rpartition("/")[2] for address in addresses]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise WeightsNotFound(f"torch's cache {self._folder} has no {missing[0]}")
        for file in files:
            _hold(file)
        return FoundWeights(recipe, tuple(files), f"torch's cache {self._folder}")

    def probe(self, name: str) -> None:
        _, addresses = self._offer(name)
        try:
            within(self._probe_seconds, lambda: _open(addresses[0], 0, self._probe_seconds, last=0).close())
        except _BROKEN as error:
            raise WeightsNotFound(f"the mirror {addresses[0]}: {type(error).__name__}: {error}") from error

    def download(self, name: str) -> FoundWeights:
        recipe, addresses = self._offer(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        files = [self._folder / address.rpartition("/")[2] for address in addresses]
        for address, file in zip(addresses, files, strict=True):
            if not file.is_file():
                _download(address, file)
            _hold(file)
        return FoundWeights(recipe, tuple(files), f"the mirror {self._root_url}")

    def _offer(self, name: str) -> tuple[ModelManifest, list[str]]:
        listing = _package_folder() / f"{name}.yaml"
        recipe = ModelManifest.read(listing) if valid_name(name) and listing.is_file() else ModelManifest((name,))
        offered = _offered()
        unknown = [signature for signature in recipe.signatures if signature not in offered]
        if unknown:
            raise WeightsNotFound(f"the mirror {self._root_url} has no model {unknown[0]!r}")
        return recipe, [self._root_url + offered[signature] for signature in recipe.signatures]


def torch_hub_folder() -> Path:
    """torch.hub.get_dir() / "checkpoints", without loading torch. Raises NotHere where there is no home folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return user_folder(os.environ.get("TORCH_HOME", f"{cache}/torch"), "TORCH_HOME") / "hub" / "checkpoints"


def _package_folder() -> Path:
    spec = find_spec("demucs")  # finds a package without running it
    if spec is None or not spec.submodule_search_locations:
        raise WeightsNotFound("the package demucs is not installed, and with it the mirror's list of files")
    return Path(spec.submodule_search_locations[0]) / "remote"


def _offered() -> dict[str, str]:
    """Signature ▸ path below the mirror's root, as demucs.pretrained._parse_remote_files reads files.txt."""
    root, offered = "", {}
    for line in (_package_folder() / "files.txt").read_text("utf-8").splitlines():
        entry = line.strip()
        if entry.startswith("root:"):
            root = entry.partition(":")[2].strip()
        elif entry and not entry.startswith("#"):
            offered[entry.partition("-")[0]] = root + entry
    return offered


def _hold(file: Path) -> None:
    try:
        hold_name_checksum(file)
    except WeightsDamaged as damaged:
        file.unlink()
        raise WeightsDamaged(f"{damaged}; it was deleted") from None


def _download(address: str, target: Path) -> None:
    """All of `address`, then moved to `target`; nothing is left where it fails."""
    log.info("downloading url=%s", address)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as partial:
        try:
            _fill(address, partial)
            Path(partial.name).chmod(0o644)
            Path(partial.name).replace(target)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise


def _fill(address: str, partial: IO[bytes]) -> None:
    """Downloads, and goes on where the connection broke."""
    for attempt in range(ATTEMPTS):
        try:
            if _append(address, partial):
                return
            reason = "the connection ended early"
        except _BROKEN as error:
            reason = f"{type(error).__name__}: {error}"
        log.warning("download broke off url=%s bytes=%d reason=%s", address, partial.tell(), reason)
        time.sleep(0.1 * 2**attempt)
    raise WeightsNotFound(f"the mirror {address} broke off {ATTEMPTS} times: {reason}")


def _append(address: str, partial: IO[bytes]) -> bool:
    """Reads on from what `partial` holds. True where that is all there is."""
    with _open(address, partial.tell(), READ_SECONDS) as response:
        if response.status != http.client.PARTIAL_CONTENT:
            partial.seek(0)
            partial.truncate()
        total = partial.tell() + int(response.headers["Content-Length"])
        while chunk := response.read(_CHUNK_BYTES):
            partial.write(chunk)
        partial.flush()
        return partial.tell() == total


def _open(address: str, first: int, seconds: float, last: int | None = None) -> http.client.HTTPResponse:
    request = urllib.request.Request(address)  # noqa: S310  (the address is the operator's or Meta's)
    if first or last is not None:
        request.add_header("Range", f"bytes={first}-{'' if last is None else last}")
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=seconds)  # noqa: S310
    return response
