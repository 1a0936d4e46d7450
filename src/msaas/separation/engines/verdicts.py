"""Remembers on disk which engine was chosen for a network, so that the next start need not check all of them.

A verdict holds for one CPU, one build of torch, one version of this package's engines, and one set of weights: all of
them are in its key. A file that is missing, damaged or of another machine means that the check is made again; one that
cannot be written means that the next start makes it again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from msaas.separation.engines.compiled.library import library
from msaas.separation.engines.engine import Engine
from msaas.separation.engines.htdemucs import Unsupported
from msaas.separation.engines.htdemucs.kernels import Kernels
from msaas.separation.engines.selection import (
    INT8_SUFFIX,
    MIN_SNR_DB,
    PRECISIONS,
    EngineChoice,
    candidates,
    choose_engine,
    engine_of,
    has_bf16,
)
from msaas.separation.engines.tf32 import forbid_tf32
from msaas.separation.model import Network

log = logging.getLogger(__name__)

Choose = Callable[[Network, torch.device, str], tuple[Engine, EngineChoice]]

MAX_VERDICTS = 100  # files; the oldest are deleted
MAX_BYTES = 10_000
# Limit what torch's and oneDNN's kernels use of the CPU.
_ENVIRONMENT = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


def default_folder() -> Path | None:
    """In the user's cache; None without a home folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "msaas" / "engines"
    except RuntimeError:
        return None


class RememberedChoice:
    """Chooses an engine by an earlier verdict if there is one, else by `choose`, whose verdict it writes down."""

    def __init__(self, folder: Path | None, choose: Choose = choose_engine) -> None:
        """folder: of the verdicts; None remembers nothing."""
        self._folder, self._choose = folder, choose
        self._unconfirmed: set[str] = set()  # keys of verdicts that were read, not made, in this process

    def __call__(self, network: Network, device: torch.device, precision: str) -> tuple[Engine, EngineChoice]:
        if precision == "fp32":
            forbid_tf32()
        key = verdict_key(network, device, precision)
        choice = self._read(key, device, precision)
        if choice is not None:
            try:
                engine = engine_of(network, device, choice)
            except (Unsupported, RuntimeError, ValueError) as error:
                log.warning("remembered engine not used: it fails reason=%s", error)
            else:
                self._unconfirmed.add(key)
                return engine, choice
        return self._checked(key, network, device, precision)

    def unconfirmed(self, network: Network, device: torch.device, precision: str) -> bool:
        """Whether the engine of this network was chosen by an earlier verdict and not checked since."""
        return bool(self._unconfirmed) and verdict_key(network, device, precision) in self._unconfirmed

    def confirm(self, network: Network, device: torch.device, precision: str) -> tuple[Engine, EngineChoice]:
        """Checks the network's engines and writes the verdict down. Raises what the check raises: Cancelled, too."""
        return self._checked(verdict_key(network, device, precision), network, device, precision)

    def _checked(self, key: str, network: Network, device: torch.device, precision: str) -> tuple[Engine, EngineChoice]:
        engine, choice = self._choose(network, device, precision)
        self._unconfirmed.discard(key)
        self._write(key, choice)
        return engine, choice

    def _read(self, key: str, device: torch.device, precision: str) -> EngineChoice | None:
        if self._folder is None:
            return None
        path = self._folder / f"{key}.json"
        try:
            with path.open("rb") as file:
                return parse_verdict(json.loads(file.read(MAX_BYTES)), key, device, precision)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            log.warning("verdict not used: the engines are checked again path=%s reason=%s", path, error)
            return None

    def _write(self, key: str, choice: EngineChoice) -> None:
        if self._folder is None:
            return
        content = json.dumps({"key": key, "engine": choice.as_report()})
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _replace(self._folder / f"{key}.json", content)
            _delete_oldest(self._folder)
        except OSError as error:
            log.info("verdict not written: the next start checks the engines again reason=%s", error)


def parse_verdict(content: Any, key: str, device: torch.device, precision: str) -> EngineChoice:
    """Raises ValueError unless `content` is a verdict for this key that this device can follow."""
    if not isinstance(content, dict) or content.get("key") != key or not isinstance(content.get("engine"), dict):
        raise ValueError("not a verdict for this network and machine")
    engine = content["engine"]
    layout, chosen, snr_db, kernels = (engine.get(name) for name in EngineChoice._fields)
    chosen = chosen.removesuffix(INT8_SUFFIX) if isinstance(chosen, str) else chosen
    possible = {PRECISIONS[dtype] for dtype in candidates(device, precision, has_bf16)} | {"fp32"}
    if layout not in ("channels_last", "module") or chosen not in possible or not isinstance(kernels, dict):
        raise ValueError(f"an engine that does not exist here: {layout!r}, {chosen!r}")
    if snr_db is not None and (type(snr_db) not in (int, float) or not math.isfinite(snr_db)):
        raise ValueError(f"not a ratio: {snr_db!r}")
    if chosen != "fp32" and (snr_db is None or snr_db < MIN_SNR_DB):
        raise ValueError(f"a ratio of {snr_db} dB is too low")
    used = {name: Kernels.of(names).names() for name, names in kernels.items() if name in PRECISIONS.values()}
    return EngineChoice(layout, chosen, snr_db, used)


def verdict_key(network: Network, device: torch.device, precision: str) -> str:
    """Identifies what a verdict depends on: machine, torch, engines and weights."""
    digest = hashlib.sha256()
    for part in (*_machine(device), precision, _engines_version(), *_identity(network.module)):
        digest.update(repr(part).encode())
    for tensor in network.module.state_dict().values():
        digest.update(memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()[:32]


def _machine(device: torch.device) -> Iterator[object]:
    yield from (device.type, platform.machine(), _cpu(), torch.__version__, torch.backends.cpu.get_cpu_capability())
    yield library() is not None  # a file that is there may not load: on a file system without execution, say
    yield from (has_bf16(), *(os.environ.get(name) for name in _ENVIRONMENT))
    if device.type == "cuda":
        yield torch.cuda.get_device_name(device), torch.cuda.get_device_capability(device)


def _cpu() -> tuple[str, ...]:
    """Model and flags of the first core, where Linux tells them."""
    wanted = ("model name", "flags", "Features", "CPU part")
    with suppress(OSError):
        first = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0]
        return tuple(line for line in first.splitlines() if line.startswith(wanted))
    return (platform.processor(),)


def _engines_version() -> tuple[str, ...]:
    """A digest of this package's source and compiled library, and the releases of what its networks come from."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".py", ".so")):
        digest.update(path.read_bytes())
    return digest.hexdigest(), *(_release(name) for name in ("demucs", "pymss-core"))


def _release(package: str) -> str:
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(package)
    return ""


def _identity(module: nn.Module) -> Iterator[object]:
    yield type(module).__qualname__
    yield getattr(module, "_init_args_kwargs", None)
    yield from ((name, tensor.dtype, tuple(tensor.shape)) for name, tensor in module.state_dict().items())


def _replace(path: Path, content: str) -> None:
    """Writes a file as a whole: another process reads the old one or the new one."""
    descriptor, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _delete_oldest(folder: Path) -> None:
    verdicts = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in verdicts[MAX_VERDICTS:]:
        path.unlink(missing_ok=True)
