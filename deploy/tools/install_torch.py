"""Installs torch into the Python that runs this: the build without CUDA if there is no NVIDIA driver.

    .venv/bin/python deploy/tools/install_torch.py torch==2.13.0 [--cpu-index URL]

On Linux the package index gives a build with CUDA's libraries: 2.7 GB to download and 5.1 GB in .venv, where the build
for CPUs takes 0.2 GB and 1.7 GB. torch's makers keep that build on an index of their own. It is used first, with a
short time-out; if it cannot be reached, pip's own index is used. One line says what is installed, and why.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
INDEX_SECONDS = 5.0
CPU_SIZE, CUDA_SIZE = "0.2 GB", "2.7 GB"  # to download, with what torch depends on: 2.13.0 on x86_64
_DRIVER = ("/proc/driver/nvidia/version", "/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1")

Run = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Plan:
    """What pip is called with, and what the line says."""

    arguments: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    system: str
    architecture: str
    python: str  # "cp311"
    has_driver: bool

    @classmethod
    def here(cls) -> Machine:
        version = sys.version_info
        return cls(
            platform.system(),
            platform.machine(),
            f"cp{version.major}{version.minor}",
            has_driver(Path("/"), shutil.which),
        )


def has_driver(root: Path, which: Callable[[str], str | None]) -> bool:
    """Whether an NVIDIA driver is installed, a WSL one too. root: of the file system."""
    return any((root / path.lstrip("/")).exists() for path in _DRIVER) or which("nvidia-smi") is not None


def plan(requirement: str, machine: Machine, page_of: Callable[[], str | None], cpu_index: str = CPU_INDEX) -> Plan:
    """page_of: the CPU index's page of torch, None if it cannot be reached; called only if it matters."""
    if machine.system != "Linux":
        return Plan((requirement,), f"{requirement} from pip's index: there is one build for {machine.system}")
    if machine.has_driver:
        return Plan(
            (requirement,), f"{requirement} with CUDA, since an NVIDIA driver is installed: {CUDA_SIZE} to download"
        )
    page = page_of()
    either = f"{CPU_SIZE} to download, or {CUDA_SIZE} if that index has only the build with CUDA"
    if page is None:
        why = f"{cpu_index}, which has the build without CUDA, cannot be reached"
        return Plan((requirement,), f"{requirement} from pip's index, since {why}: {either}")
    named = _cpu_build(requirement, machine, page)
    if named is None:
        why = f"{cpu_index} has no build without CUDA for {machine.python} on {machine.architecture}"
        return Plan((requirement,), f"{requirement} from pip's index, since {why}: {either}")
    return Plan(
        (named, "--index-url", cpu_index),
        f"{named} without CUDA, since there is no NVIDIA driver: {CPU_SIZE} to download from {cpu_index}",
    )


def _cpu_build(requirement: str, machine: Machine, page: str) -> str | None:
    """The requirement that only the build without CUDA meets, if the index has it for this machine."""
    version = requirement.partition("==")[2]
    tags = rf"{machine.python}-{machine.python}-\w*{machine.architecture}"
    found = re.search(rf"torch-{re.escape(version)}(?P<label>(?:%2B|\+)cpu)?-{tags}", page)
    if not version or found is None:
        return None
    return f"{requirement}+cpu" if found["label"] else requirement


def page_of(cpu_index: str, seconds: float = INDEX_SECONDS) -> str | None:
    """The index's list of torch's files. None where it is not there within `seconds`, looking its name up included."""
    pages: list[str] = []

    def fetch() -> None:
        try:
            with urllib.request.urlopen(f"{cpu_index}/torch/", timeout=seconds) as answer:  # noqa: S310 - https, or named
                pages.append(answer.read().decode("utf-8", "replace"))
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(seconds)
    return pages[0] if pages else None


def is_installed(requirement: str) -> bool:
    """In this version, whichever its build."""
    try:
        installed = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return f"torch=={installed.partition('+')[0]}" == requirement


def install(chosen: Plan, requirement: str, pip: Run, report: Callable[[str], None]) -> int:
    """pip's exit status. What torch depends on comes from pip's own index, whichever torch comes from."""
    report(f"installing torch: {chosen.says} (TORCH=… selects another build)")
    if "--index-url" not in chosen.arguments:
        return pip(chosen.arguments)
    if pip(("--no-deps", *chosen.arguments)) != 0:
        report(f"torch: that failed; installing {requirement} from pip's index instead, up to {CUDA_SIZE} to download")
    return pip((requirement,))


def _pip(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    return subprocess.run(command, check=False).returncode


def _report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("requirement", help="torch==2.13.0")
    parser.add_argument("--cpu-index", default=CPU_INDEX)
    options = parser.parse_args()
    if is_installed(options.requirement):
        return 0
    chosen = plan(options.requirement, Machine.here(), lambda: page_of(options.cpu_index), options.cpu_index)
    return install(chosen, options.requirement, _pip, _report)


if __name__ == "__main__":
    sys.exit(main())
