"""Which part may import which. Read from the sources, so that a lazy import counts too."""

import ast
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src" / "msaas"
HEAVY = {"torch", "demucs"}
SERVERS = {"redis", "minio", "flask", "werkzeug", "uvicorn"}
JOB_KNOWERS = {
    "msaas.jobs",
    "msaas.queue",
    "msaas.storage",
    "msaas.web",
    "msaas.worker",
    "msaas.maintenance.housekeeping",
}

# folder or module ▸ what it must never reach, directly
FORBIDDEN = {
    "web": HEAVY | {"msaas.separation", "msaas.worker", "msaas.local"},
    "audio": HEAVY | SERVERS | JOB_KNOWERS | {"msaas.separation"},
    "separation": SERVERS | JOB_KNOWERS,
    "worker": {"flask", "werkzeug", "uvicorn", "msaas.web", "msaas.local"},
    "callbacks": HEAVY
    | {
        "flask",
        "werkzeug",
        "uvicorn",
        "minio",
        "msaas.web",
        "msaas.worker",
        "msaas.storage",
        "msaas.maintenance.housekeeping",
    },
    "auth": HEAVY | {"minio", "msaas.storage", "msaas.separation", "msaas.worker", "msaas.local"},
    "queue": HEAVY | {"flask", "werkzeug", "minio", "msaas.web", "msaas.worker", "msaas.storage"},
    "storage.py": HEAVY | {"flask", "werkzeug", "redis", "msaas.queue", "msaas.web", "msaas.worker"},
    "jobs.py": HEAVY | SERVERS | {"msaas.queue", "msaas.storage", "msaas.web", "msaas.worker", "msaas.audio"},
    "settings.py": HEAVY | SERVERS | JOB_KNOWERS,
    "options.py": HEAVY | SERVERS | JOB_KNOWERS | {"msaas.audio", "msaas.separation", "msaas.settings"},
    "formats.py": HEAVY
    | SERVERS
    | JOB_KNOWERS
    | {"msaas.audio", "msaas.separation", "msaas.settings", "msaas.options"},
    "errors.py": {"msaas"},
    "client": HEAVY | SERVERS | JOB_KNOWERS | {"msaas.separation", "msaas.audio", "msaas.settings", "msaas.local"},
    "maintenance": HEAVY | {"flask", "werkzeug", "msaas.web", "msaas.worker"},
}


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def reaches(imported: str, forbidden: str) -> bool:
    return imported == forbidden or imported.startswith(forbidden + ".")


@pytest.mark.parametrize("part", FORBIDDEN)
def test_each_part_keeps_to_its_own_room(part):
    files = [SRC / part] if part.endswith(".py") else sorted((SRC / part).rglob("*.py"))
    assert files
    trespasses = [
        f"{path.relative_to(SRC)} imports {name}"
        for path in files
        for name in imports_of(path)
        for forbidden in FORBIDDEN[part]
        if reaches(name, forbidden)
    ]
    assert not trespasses


def test_only_the_separation_process_loads_torch_in_a_worker():
    light = {"msaas.separation.PROCESS_ENVIRONMENT"}  # of the package itself, which loads nothing
    heavy = [
        path.name
        for path in (SRC / "worker").glob("*.py")
        if any(reaches(name, heavy) for name in imports_of(path) - light for heavy in HEAVY | {"msaas.separation"})
    ]
    assert heavy == ["child.py"]


def test_client_needs_requests_and_our_errors_and_formats_and_nothing_else():
    allowed = {"requests", "msaas.errors", "msaas.formats", "msaas.client"} | set(sys.stdlib_module_names)
    strange = [
        f"{path.name} imports {name}"
        for path in (SRC / "client").glob("*.py")
        for name in imports_of(path)
        if not any(reaches(name, one) for one in allowed)
    ]
    assert not strange


def test_no_process_with_threads_is_forked():
    """Its fork can deadlock. The decoding helper has one thread; a test of its own holds that."""
    forks = {"fork", "forkpty", "preexec_fn", "multiprocessing", "ProcessPoolExecutor"}
    found = {str(path.relative_to(SRC)) for path in SRC.rglob("*.py") if forks & names_in(path)}
    assert found == {"audio/sandbox/fork_server.py"}


def names_in(path: Path) -> set[str]:
    """Attributes, keyword arguments and imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            names.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {part for alias in node.names for part in (getattr(node, "module", None), alias.name) if part}
    return names
