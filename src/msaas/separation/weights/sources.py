"""What all sources of weights (folder, hub, mirror) have in common. No network, no torch."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msaas.errors import ModelUnavailable
from msaas.separation.weights.config import DEMUCS, MAX_CHUNK_SECONDS, family_of, is_config, not_a_list, read_yaml
from msaas.separation.weights.ensemble import ENSEMBLE, is_ensemble

Result = TypeVar("Result")

PROBE_SECONDS = 3.0
DEMUCS_SUFFIXES = (".th", ".safetensors")
FAMILY_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".th")
_FILE = re.compile(r"(?P<signature>.+?)(-(?P<checksum>[0-9a-f]{6,64}))?(?P<suffix>\.(th|safetensors|ckpt|pth|pt))")


class WeightsNotFound(Exception):
    """This source does not have the model; the message says why, for the list of what was tried."""


class WeightsDamaged(Exception):
    """A file has a wrong checksum. It is never loaded."""


@dataclass(frozen=True)
class ModelManifest:
    """What a model consists of: its networks' signatures and, for a bag, their weights by source."""

    signatures: tuple[str, ...]
    weights: list[list[float]] | None = None
    segment: float | None = None  # seconds

    @classmethod
    def read(cls, path: Path) -> ModelManifest:
        """Reads Demucs' bag yaml. Raises WeightsNotFound if it is invalid."""
        return cls.of(_read(path), path)

    @classmethod
    def of(cls, bag: Any, path: Path) -> ModelManifest:
        """The same for the content of `path`."""
        try:
            manifest = cls(tuple(str(item) for item in bag["models"]), bag.get("weights"), bag.get("segment"))
        except (KeyError, TypeError, AttributeError) as error:
            raise WeightsNotFound(not_a_list(path, error)) from error
        segment = manifest.segment
        if segment is not None and not (isinstance(segment, int | float) and 0 < segment <= MAX_CHUNK_SECONDS):
            raise WeightsNotFound(f"{path}: segment must be above 0 and at most {MAX_CHUNK_SECONDS} s, not {segment!r}")
        return manifest


@dataclass(frozen=True)
class FoundWeights:
    """A model's files on this machine, with verified checksums, one per signature."""

    manifest: ModelManifest
    files: tuple[Path, ...]
    where: str
    family: str = DEMUCS
    config: Path | None = None  # the yaml that describes the network; Demucs' files contain that themselves


class WeightSource(Protocol):
    """A source of weights."""

    def cached(self, name: str) -> FoundWeights:
        """Returns the files already on this machine, without network access. Raises WeightsNotFound."""
        ...

    def held(self, name: str) -> str:
        """Where the files are on this machine, without reading them. Raises WeightsNotFound."""
        ...

    def probe(self, name: str) -> None:
        """Raises WeightsNotFound, within seconds, if `download` would fail."""
        ...

    def download(self, name: str) -> FoundWeights:
        """Raises WeightsNotFound, or WeightsDamaged if a download has a wrong checksum."""
        ...


def user_folder(path: str, setting: str) -> Path:
    """`path` with ~ expanded. Raises WeightsNotFound if the user has no home folder; `setting` can name another
    path."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise WeightsNotFound(f"no home folder for {path} (set {setting} to another path)") from error


def in_folder(name: str, folder: Path, *, verify: bool = True) -> FoundWeights:
    """Finds a model in `folder/` or `folder/<name>/`: Demucs' networks, or another family's network with its yaml.

    Demucs: a bag's `<name>.yaml`, or one network called `name`, as `<signature>[-<checksum>].th` or `.safetensors`.
    Other families: MSST's configuration `<name>.yaml` and `<name>[-<checksum>]` with one of FAMILY_SUFFIXES.
    verify: compare each file with the checksum in its name, which takes a second or so a gigabyte. Raises
    WeightsNotFound; WeightsDamaged for another checksum; ModelUnavailable if a configuration is of no supported family.
    """
    if not folder.is_dir():
        raise WeightsNotFound(f"{folder} is not a folder")
    plain = name.removeprefix("hf://").rpartition("/")[2]
    reasons = []
    for root in (folder, folder / plain):
        try:
            return _in_root(plain, root, verify)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
    raise WeightsNotFound("; ".join(reasons))


def _in_root(name: str, root: Path, verify: bool) -> FoundWeights:
    listing, where = root / f"{name}.yaml", f"the folder {root}"
    if listing.is_file():
        content = _read(listing)
    else:
        _refuse_missing_config(name, root)
        content = {"models": [name]}
    if is_ensemble(content):
        return FoundWeights(ModelManifest(()), (), where, ENSEMBLE, listing)
    if is_config(content):
        family = family_of(content, listing)
        files = (_network(name, root, FAMILY_SUFFIXES, verify),)
        return FoundWeights(ModelManifest((name,)), files, where, family, listing)
    manifest = ModelManifest.of(content, listing)
    return FoundWeights(
        manifest, tuple(_network(item, root, DEMUCS_SUFFIXES, verify) for item in manifest.signatures), where
    )


def _refuse_missing_config(name: str, root: Path) -> None:
    for suffix in FAMILY_SUFFIXES:
        if suffix not in DEMUCS_SUFFIXES and (root / f"{name}{suffix}").is_file():
            raise WeightsNotFound(f"{root} has {name}{suffix}, but not its configuration {name}.yaml")


def _read(path: Path) -> Any:
    try:
        return read_yaml(path)
    except OSError as error:
        raise WeightsNotFound(not_a_list(path, error)) from error
    except ModelUnavailable as reason:
        raise WeightsNotFound(str(reason)) from reason


def _network(signature: str, root: Path, suffixes: tuple[str, ...], verify: bool) -> Path:
    matches = [path for path in sorted(root.glob("*")) if _signature_of(path, suffixes) == signature]
    if not matches:
        raise WeightsNotFound(f"{root} has no {signature}{', '.join(suffixes[:-1])} or {suffixes[-1]}")
    if len(matches) > 1:
        raise WeightsNotFound(f"{root} has {signature} more than once: {', '.join(path.name for path in matches)}")
    if verify:
        verify_name_checksum(matches[0])
    return matches[0]


def _signature_of(path: Path, suffixes: tuple[str, ...]) -> str | None:
    match = _FILE.fullmatch(path.name)
    return match["signature"] if match and match["suffix"] in suffixes else None


def verify_name_checksum(path: Path) -> None:
    """Raises WeightsDamaged if the name of `path` contains a checksum that its content does not have."""
    match = _FILE.fullmatch(path.name)
    if match and match["checksum"] and not sha256_of(path).startswith(match["checksum"]):
        raise WeightsDamaged(f"{path} is damaged: its sha256 does not start with {match['checksum']}")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def within(seconds: float, request: Callable[[], Result]) -> Result:
    """The result of request(), or its error; TimeoutError after `seconds`.

    Uses a thread that may be abandoned: neither name resolution nor a proxy respects a socket's time-out.
    """
    answer: dict[str, Any] = {}

    def run() -> None:
        try:
            answer["result"] = request()
        except BaseException as error:
            answer["error"] = error

    thread = threading.Thread(target=run, name="probe", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if "error" in answer:
        raise answer["error"]
    result: Result = answer["result"]
    return result
