"""Where the weights of a model lie: what every place (folder, hub, mirror) has in common. No network, no torch."""

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
    """This place cannot give the model; the message says why, for the list of what was tried."""


class WeightsDamaged(Exception):
    """A file's checksum is wrong. It is never loaded."""


@dataclass(frozen=True)
class ModelManifest:
    """What a model is made of: its networks' signatures and, for a bag, their weights by source."""

    signatures: tuple[str, ...]
    weights: list[list[float]] | None = None
    segment: float | None = None  # seconds

    @classmethod
    def read(cls, path: Path) -> ModelManifest:
        """Of Demucs' bag yaml. Raises NotHere where it is none."""
        try:
            bag = yaml.safe_load(path.read_text("utf-8"))
            return cls(tuple(str(item) for item in bag["models"]), bag.get("weights"), bag.get("segment"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
            raise WeightsNotFound(f"{path} is no list of models ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class FoundWeights:
    """A model's files on this machine, checksums held, one for each signature."""

    recipe: ModelManifest
    files: tuple[Path, ...]
    where: str


class WeightSource(Protocol):
    """Somewhere to have weights from."""

    def cached(self, name: str) -> FoundWeights:
        """What is on this machine already; no network. Raises NotHere."""
        ...

    def probe(self, name: str) -> None:
        """Raises NotHere, within seconds, where `download` would have no chance."""
        ...

    def download(self, name: str) -> FoundWeights:
        """Raises NotHere, or Damaged where what came is not what was promised."""
        ...


def user_folder(path: str, setting: str) -> Path:
    """`path` with its ~. Raises NotHere where the user has no home folder: `setting` names another place."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise WeightsNotFound(f"there is no home folder for {path} ({setting} names another place)") from error


def valid_name(name: str) -> bool:
    """Whether `name` can be a model's: it becomes part of paths and addresses."""
    return _NAME.fullmatch(name) is not None and ".." not in name


def in_folder(name: str, folder: Path) -> FoundWeights:
    """The model in `folder/` itself or in `folder/<name>/`: a bag's yaml, or one network called `name`.

    Networks are Demucs' `<signature>[-<checksum>].th` or the same as `.safetensors`. Raises NotHere, and Damaged
    where a file does not have the checksum in its name (the first digits of its sha256).
    """
    if not folder.is_dir():
        raise WeightsNotFound(f"{folder} is no folder")
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
    recipe = ModelManifest.read(listing) if listing.is_file() else ModelManifest((name,))
    files = tuple(_network(signature, root) for signature in recipe.signatures)
    return FoundWeights(recipe, files, f"the folder {root}")


def _network(signature: str, root: Path) -> Path:
    matches = [path for path in sorted(root.glob("*")) if _signature_of(path) == signature]
    if not matches:
        raise WeightsNotFound(f"{root} has no {signature}.th or .safetensors")
    if len(matches) > 1:
        raise WeightsNotFound(f"{root} has {signature} more than once: {', '.join(path.name for path in matches)}")
    hold_name_checksum(matches[0])
    return matches[0]


def _signature_of(path: Path) -> str | None:
    match = _FILE.fullmatch(path.name)
    return match["signature"] if match else None


def hold_name_checksum(path: Path) -> None:
    """Raises Damaged where the name of `path` carries a checksum that its content has not."""
    match = _FILE.fullmatch(path.name)
    if match and match["checksum"] and not sha256_of(path).startswith(match["checksum"]):
        raise WeightsDamaged(f"{path} is damaged: its sha256 does not begin with {match['checksum']}")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def within(seconds: float, ask: Callable[[], Result]) -> Result:
    """What ask() returns or raises; TimeoutError after `seconds`.

    In a thread that may be left to end by itself: neither resolving a name nor a proxy keeps to a socket's time-out.
    """
    answer: dict[str, Any] = {}

    def run() -> None:
        try:
            answer["result"] = ask()
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
