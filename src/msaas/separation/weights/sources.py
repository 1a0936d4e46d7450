"""What all sources of weights (folder, hub, mirror) have in common. No network, no torch."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

Result = TypeVar("Result")

PROBE_SECONDS = 3.0
_NAME = re.compile(r"(hf://)?([\w.-]+/)?\w[\w.-]*")
_FILE = re.compile(r"(?P<signature>.+?)(-(?P<checksum>[0-9a-f]{6,64}))?\.(th|safetensors)")


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
        try:
            bag = yaml.safe_load(path.read_text("utf-8"))
            return cls(tuple(str(item) for item in bag["models"]), bag.get("weights"), bag.get("segment"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise WeightsNotFound(f"{path} is not a list of models ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class FoundWeights:
    """A model's files on this machine, with verified checksums, one per signature."""

    manifest: ModelManifest
    files: tuple[Path, ...]
    where: str


class WeightSource(Protocol):
    """A source of weights."""

    def cached(self, name: str) -> FoundWeights:
        """Returns the files already on this machine, without network access. Raises WeightsNotFound."""
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


def valid_name(name: str) -> bool:
    """Whether `name` can be a model's: it becomes part of paths and URLs."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def in_folder(name: str, folder: Path) -> FoundWeights:
    """Finds a model in `folder/` or `folder/<name>/`: a bag's yaml, or one network called `name`.

    Networks are Demucs' `<signature>[-<checksum>].th` or `.safetensors`. Raises WeightsNotFound, and WeightsDamaged if
    a file's sha256 does not start with the checksum in its name.
    """
    if not folder.is_dir():
        raise WeightsNotFound(f"{folder} is not a folder")
    plain = name.removeprefix("hf://").rpartition("/")[2]
    reasons = []
    for root in (folder, folder / plain):
        try:
            return _in_root(plain, root)
        except WeightsNotFound as reason:
            reasons.append(str(reason))
    raise WeightsNotFound("; ".join(reasons))


def _in_root(name: str, root: Path) -> FoundWeights:
    listing = root / f"{name}.yaml"
    manifest = ModelManifest.read(listing) if listing.is_file() else ModelManifest((name,))
    files = tuple(_network(signature, root) for signature in manifest.signatures)
    return FoundWeights(manifest, files, f"the folder {root}")


def _network(signature: str, root: Path) -> Path:
    matches = [path for path in sorted(root.glob("*")) if _signature_of(path) == signature]
    if not matches:
        raise WeightsNotFound(f"{root} has no {signature}.th or .safetensors")
    if len(matches) > 1:
        raise WeightsNotFound(f"{root} has {signature} more than once: {', '.join(path.name for path in matches)}")
    verify_name_checksum(matches[0])
    return matches[0]


def _signature_of(path: Path) -> str | None:
    match = _FILE.fullmatch(path.name)
    return match["signature"] if match else None


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
