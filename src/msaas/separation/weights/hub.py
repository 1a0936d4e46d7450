"""Weights from the Hugging Face hub and its local cache. Rejects files with another checksum than the hub's.

Demucs' own hub loading (demucs.hf, 4.1) verifies no checksums and takes half a minute to notice a missing network.
Files, cache and loading are the same here. HF_ENDPOINT, HF_HOME and HF_TOKEN apply as they do there.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from msaas.separation.weights.sources import (
    PROBE_SECONDS,
    FoundWeights,
    ModelManifest,
    Result,
    WeightsDamaged,
    WeightsNotFound,
    sha256_of,
    user_folder,
    within,
)

log = logging.getLogger(__name__)

_SHA256 = re.compile("[0-9a-f]{64}")
_GIT_SHA1 = re.compile("[0-9a-f]{40}")


class Hub:
    """The hub at `endpoint` (default: HF_ENDPOINT) and the cache in `cache_dir` (default: the user's)."""

    def __init__(
        self,
        endpoint: str | None = None,
        cache_dir: Path | None = None,
        probe_seconds: float = PROBE_SECONDS,
    ) -> None:
        self._endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        self._configured = cache_dir
        self._probe_seconds = probe_seconds

    @property
    def _cache_dir(self) -> Path:
        return self._configured or user_folder(constants.HF_HUB_CACHE, "HF_HOME")

    def cached(self, name: str) -> FoundWeights:
        found = self._found(name)
        for file in found.files:
            # The cache names a blob by the hub's checksum.
            verify_etag(file, file.resolve().name)
        return found

    def held(self, name: str) -> str:
        return self._found(name).where

    def _found(self, name: str) -> FoundWeights:
        repository, plain = repository_of(name)
        manifest = ModelManifest.read(self._in_cache(repository, f"{plain}.yaml"))
        files = [self._in_cache(repository, f"{signature}.safetensors") for signature in manifest.signatures]
        return FoundWeights(manifest, tuple(files), f"the Hugging Face cache {self._cache_dir}")

    def probe(self, name: str) -> None:
        repository, plain = repository_of(name)
        seconds = self._probe_seconds
        self._request(lambda: within(seconds, lambda: self._etag_and_address(repository, f"{plain}.yaml")))
        # The hub may be reachable while the servers of large files are not.
        self._request(lambda: within(2 * seconds, lambda: self._touch_weights(repository, plain)))

    def download(self, name: str) -> FoundWeights:
        repository, plain = repository_of(name)
        manifest = ModelManifest.read(self._request(lambda: self._get(repository, f"{plain}.yaml")))
        files = [
            self._request(lambda file=f"{signature}.safetensors": self._get(repository, file))  # type: ignore[misc]
            for signature in manifest.signatures
        ]
        return FoundWeights(manifest, tuple(files), f"the hub {self._endpoint}")

    def _in_cache(self, repository: str, file: str) -> Path:
        path = try_to_load_from_cache(repository, file, cache_dir=self._cache_dir)
        if not isinstance(path, str):
            raise WeightsNotFound(f"the Hugging Face cache {self._cache_dir} has no {file} of {repository}")
        return Path(path)

    def _get(self, repository: str, file: str) -> Path:
        etag, _ = self._etag_and_address(repository, file)
        path = Path(
            hf_hub_download(
                repository,
                file,
                cache_dir=self._cache_dir,
                endpoint=self._endpoint,
                etag_timeout=self._probe_seconds,
            )
        )
        verify_etag(path, etag)
        return path

    def _touch_weights(self, repository: str, plain: str) -> None:
        manifest = ModelManifest.read(self._get(repository, f"{plain}.yaml"))
        _, address = self._etag_and_address(repository, f"{manifest.signatures[0]}.safetensors")
        # The token is for the hub, not for the servers that store its files.
        headers = build_hf_headers() if address.startswith(f"{self._endpoint}/") else {}
        first_byte = {**headers, "Range": "bytes=0-0"}
        with get_session().stream(
            "GET", address, headers=first_byte, timeout=self._probe_seconds, follow_redirects=True
        ) as response:
            response.raise_for_status()

    def _etag_and_address(self, repository: str, file: str) -> tuple[str, str]:
        url = hf_hub_url(repository, file, endpoint=self._endpoint)
        metadata = get_hf_file_metadata(url, timeout=self._probe_seconds, endpoint=self._endpoint)
        return metadata.etag or "", metadata.location

    def _request(self, request: Callable[[], Result]) -> Result:
        """Calls request(), and raises WeightsNotFound for all its failures (name, route, proxy, TLS, status, time)."""
        try:
            return request()
        except (WeightsNotFound, WeightsDamaged):
            raise
        except Exception as error:
            raise WeightsNotFound(f"the hub {self._endpoint}: {_summary(error)}") from error


def repository_of(name: str) -> tuple[str, str]:
    """The hub's repository and the plain name of a model, by demucs.hf's rules, without loading torch."""
    namespace, _, plain = name.removeprefix("hf://").rpartition("/")
    kind, underscore, variant = plain.partition("_")
    repository = f"HTDemucs{underscore and '-'}{variant}" if kind == "htdemucs" else f"Demucs-{plain}"
    return f"{namespace or 'adefossez'}/{repository}", plain


def verify_etag(path: Path, etag: str) -> None:
    """Deletes a file and raises WeightsDamaged if its checksum is not the hub's: sha256, or git's sha1 for small
    files."""
    if _SHA256.fullmatch(etag):
        actual = sha256_of(path)
    elif _GIT_SHA1.fullmatch(etag):
        actual = _git_sha1_of(path)
    else:
        log.warning("the hub has no usable checksum file=%s etag=%s", path.name, etag)
        return
    if actual == etag:
        return
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)
    raise WeightsDamaged(f"{path.name} has the checksum {actual}, but the hub has {etag}; deleted from {path.parent}")


def _git_sha1_of(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _summary(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}"[:300]
