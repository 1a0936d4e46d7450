"""Programs outside src: what they import of msaas exists. Most of them are started by hand only."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("bench", "data", "deploy", "logs", "models", "rest", "worker")
    for path in (ROOT / folder).rglob("*.py")
)


@cache
def names_in(module: str) -> set[str]:
    """What a module of msaas defines or imports at its top level, and the modules in it. KeyError if there is none."""
    folder = ROOT / "src" / module.replace(".", "/")
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if not file.is_file():
        raise KeyError(module)
    names = {path.stem for path in folder.iterdir() if path.suffix in ("", ".py")} if folder.is_dir() else set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_of_msaas_exists(script: Path) -> None:
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "msaas":
            missing = {alias.name for alias in node.names} - names_in(node.module or "")
            assert not missing, f"{node.module} has no {missing}"
