"""The project's own Python files, parsed once for all style tests."""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genai_spine"
GENERATED = (PACKAGE / "v1", ROOT / "clients" / "python" / "genai_spine_client" / "gen")


def _own(path: Path) -> bool:
    return not any(path.is_relative_to(folder) for folder in GENERATED)


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if _own(path))
SOURCES = sorted(
    [*MODULES, *(path for top in ("tests", "bench", "clients/python") for path in (ROOT / top).rglob("*.py"))]
)
SOURCES = [path for path in SOURCES if _own(path)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """Package or module right below genai_spine; "" for genai_spine/__init__.py."""
    top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if top == "__init__" else top


def offenders(paths: Iterable[Path], fault: Callable[[Path], object]) -> list[str]:
    """Paths that break a rule, each with what is wrong in it."""
    found = ((path, fault(path)) for path in paths)
    return [f"{name(path)}: {wrong}" for path, wrong in found if wrong]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """Full names of what the module imports, at the top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)
