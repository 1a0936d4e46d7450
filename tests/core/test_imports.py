"""The layers, read from the sources so that a lazy import counts too. docs/architecture.md has them as a table."""

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "msaas"
FOLDERS = ("tests", "bench", "deploy", "models", "data")  # beside src

# From the bottom up; a module imports its own layer and those below. Entry points of packages are the top's.
LAYERS = {
    "pure": ("errors", "error_codes", "options", "formats", "jobs", "fields", "failpoints", "song_names"),
    "settings": ("settings", "catalogue", "interpreter", "command", "scratch"),
    "stores": ("redis_client", "queue", "storage"),
    "features": (
        "audio",
        "auth",
        "background_jobs",
        "batches",
        "callbacks",
        "client",
        "evaluation",
        "fetching",
        "library",
        "maintenance",
        "mixing",
        "outbound",
        "separation",
        "sharing",
        "telemetry",
        "uploads",
    ),
    "processes": ("web", "worker"),
    "wiring": ("wiring",),
    "programs": ("web.__main__", "worker.__main__", "cli", "local", "mcp_server"),
}

# Who reads `Settings`, the class, rather than values that were taken from it.
SETTINGS_READERS = ("settings", "wiring", "web.__main__", "worker.__main__", "worker.child", "cli", "local")

# Which packages of one layer know each other; all others do not.
NEIGHBOURS = {
    "pure": {
        ("formats", "errors"),
        ("options", "fields"),
        ("options", "errors"),
        ("options", "formats"),
        ("jobs", "errors"),
        ("jobs", "fields"),
        ("jobs", "formats"),
        ("jobs", "options"),
        ("jobs", "song_names"),
    },
    "settings": {("command", "interpreter"), ("settings", "catalogue")},
    "stores": {("queue", "redis_client")},
    "features": {
        ("auth", "sharing"),
        ("batches", "maintenance"),
        ("callbacks", "maintenance"),
        ("callbacks", "outbound"),
        ("background_jobs", "maintenance"),
        ("fetching", "background_jobs"),
        ("fetching", "outbound"),
        ("mixing", "audio"),
        ("mixing", "background_jobs"),
        ("separation", "audio"),
        ("evaluation", "audio"),
        ("evaluation", "separation"),
    },
    "processes": set(),
    "wiring": set(),
    "programs": {
        ("cli", "mcp_server"),
        ("cli", "local"),
        ("local", "cli"),
        ("cli", "web.__main__"),
        ("cli", "worker.__main__"),
    },
}

# Library ▸ who imports it. torch is loaded in the separation process and by the commands that separate, nowhere else.
LIBRARIES = {
    "av": {"audio"},
    "numpy": {"audio", "separation", "evaluation"},
    "torch": {"separation", "worker.child"},
    "demucs": {"separation"},
    "flask": {"auth", "web", "wiring"},
    "werkzeug": {"web"},
    "uvicorn": {"web"},
    "redis": {"redis_client", "queue", "callbacks", "library", "sharing", "telemetry", "wiring", "local"},
    "minio": {"storage", "web"},
    "prometheus_client": {"telemetry"},
    "requests": {"client"},
    "mcp": {"mcp_server"},
    "pydantic": {"mcp_server"},
}

MAX_MODULES = 12  # of a folder
MAX_LINES = 400


def name_of(path: Path) -> str:
    """`web.routes.jobs`; a package by its folder."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SRC.rglob("*.py"))}


@cache
def imports_of(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def ours_in(path: Path) -> set[str]:
    """The modules of ours that a file imports: `msaas.queue.Queue` is the package `queue`."""
    found = set()
    for imported in imports_of(path):
        package, _, name = imported.partition(".")
        if package == "msaas":
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            found.add(name)
    return found - {"", name_of(path)}


GRAPH = {name: ours_in(path) for name, path in MODULES.items() if name}


def is_of(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def place_of(module: str) -> tuple[int, str, str]:
    """(height, layer, package); a longer name wins, so `web.__main__` is not of `web`."""
    found = [
        (len(place), height, layer, place)
        for height, (layer, places) in enumerate(LAYERS.items())
        for place in places
        if is_of(module, place)
    ]
    assert found, f"msaas.{module} has no layer"
    return max(found)[1:]


def test_every_module_imports_its_own_layer_and_those_below():
    arrows_up = [
        f"{module} imports {imported}"
        for module, imports in GRAPH.items()
        for imported in imports
        if place_of(imported)[0] > place_of(module)[0]
    ]
    assert not arrows_up


@pytest.mark.parametrize("layer", LAYERS)
def test_packages_of_one_layer_know_each_other_as_listed(layer):
    found = {
        (here[2], there[2])
        for module, imports in GRAPH.items()
        for here, there in ((place_of(module), place_of(imported)) for imported in imports)
        if here[1] == there[1] == layer and here[2] != there[2]
    }
    assert found == NEIGHBOURS[layer]


def test_no_modules_import_each_other_in_a_circle():
    assert list(circles(GRAPH)) == []


def circles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Groups of modules that reach each other. What has no import left, or no importer, is in none."""
    left = {name: set(imports) for name, imports in graph.items()}
    while True:
        imported = set().union(*left.values())
        ends = {name for name, imports in left.items() if not imports or name not in imported}
        if not ends:
            break
        left = {name: imports - ends for name, imports in left.items() if name not in ends}
    while left:
        group = within(left, next(iter(left)))
        if len(group) > 1:
            yield sorted(group)
        left = {name: imports - group for name, imports in left.items() if name not in group}


def within(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Those that `start` reaches and that reach it."""
    return {name for name in reached(graph, start) if start in reached(graph, name)} | {start}


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    ahead = [start]
    while ahead:
        new = graph[ahead.pop()] - found
        found |= new
        ahead += new
    return found


def test_circles_are_found():
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()})) == [["b", "c"]]


def test_wiring_and_the_programs_alone_read_the_settings():
    readers = {
        module
        for module, path in MODULES.items()
        for imported in imports_of(path)
        if imported in ("msaas.settings", "msaas.settings.Settings", "msaas.settings.settings.Settings")
    }
    assert [one for one in readers if not any(is_of(one, place) for place in SETTINGS_READERS)] == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries_are_imported_where_they_are_listed(library):
    found = {
        module for module, path in MODULES.items() if any(is_of(imported, library) for imported in imports_of(path))
    }
    assert found
    assert [one for one in found if not any(is_of(one, place) for place in LIBRARIES[library])] == []


def test_the_web_half_and_the_workers_supervisor_do_not_reach_torch():
    """Not by way of others, either: what the API or a supervisor imports is followed to its end."""
    light = {"separation"}  # of the package itself, which loads nothing
    for program in ("web.__main__", "worker.__main__"):
        assert {name for name in reached(GRAPH, program) if is_of(name, "separation")} <= light
        assert "worker.child" not in reached(GRAPH, program)


def test_a_worker_does_without_flask_and_the_api_without_the_worker():
    assert not [name for name in reached(GRAPH, "worker.__main__") if is_of(name, "web") or is_of(name, "auth")]
    assert not [name for name in reached(GRAPH, "web.__main__") if is_of(name, "worker")]


def test_the_sandbox_and_what_decodes_know_no_jobs():
    knowers = ("jobs", "queue", "storage", "redis_client")
    assert not [(one, name) for one, names in GRAPH.items() if is_of(one, "audio") for name in names if name in knowers]
    assert not [one for one, names in GRAPH.items() if is_of(one, "separation") and names & set(knowers)]
    assert not [one for one, names in GRAPH.items() if is_of(one, "audio.decode") and "audio.sandbox" in str(names)]


def test_client_needs_requests_and_our_errors_formats_and_names_and_nothing_else():
    allowed = (
        "requests",
        "msaas.errors",
        "msaas.formats",
        "msaas.song_names",
        "msaas.client",
        *sys.stdlib_module_names,
    )
    strange = [
        f"{path.name} imports {name}"
        for path in (SRC / "client").glob("*.py")
        for name in imports_of(path)
        if not any(is_of(name, one) for one in allowed)
    ]
    assert not strange


@pytest.mark.parametrize("place", [*FOLDERS, "src"])
def test_no_folder_has_more_modules_than_one_can_look_through(place):
    """Not counting `__init__` and `__main__`."""
    paths = [path for path in (ROOT / place).rglob("*.py") if not path.stem.startswith("__")]
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in paths)
    assert counts
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


def test_no_module_is_longer_than_one_can_read():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_process_with_threads_is_forked():
    """Its fork can deadlock. The decoder's fork server has one thread; a test of its own holds that."""
    forks = {"fork", "forkpty", "preexec_fn", "multiprocessing", "ProcessPoolExecutor"}
    found = {name for name, path in MODULES.items() if forks & names_in(path)}
    assert found == {"audio.sandbox.fork_server"}


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


# --- the same in docs/architecture.md

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## Layers and packages")[2].partition("\n## ")[0]
WALK = PAGE.partition("## A walk through the code")[2].partition("\n## ")[0]


def named_in(cell: str) -> set[str]:
    return {name.rstrip("/") for name in re.findall(r"`([\w./]+)`", cell)}


def rows() -> list[tuple[str, str, str]]:
    """(layer, packages, neighbours) of each row; a row without a layer is of the one above it."""
    found, layer = [], ""
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) == 4 and cells[0] != "layer":
            layer = cells[0] or layer
            found.append((layer, cells[1], cells[3].removesuffix("|")))
    return found


def test_the_table_of_layers_is_that_of_the_import_test():
    layers: dict[str, set[str]] = {}
    for layer, packages, _ in rows():
        layers.setdefault(layer, set()).update(named_in(packages) - {"lua"})
    assert layers == {layer: set(places) for layer, places in LAYERS.items()}
    assert list(layers) == list(LAYERS)


def test_the_walk_names_files_that_there_are():
    paths = [path for path in named_in(WALK) if "." in path]
    assert len(paths) > 40
    assert [path for path in paths if not (SRC / path).is_file()] == []


def test_each_package_of_the_features_names_its_neighbours():
    told = {
        (package, neighbour)
        for layer, packages, neighbours in rows()
        if layer == "features"
        for package in named_in(packages)
        for neighbour in named_in(neighbours)
    }
    assert told == NEIGHBOURS["features"]
