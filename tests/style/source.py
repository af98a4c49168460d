"""The project's own Python files, parsed once for all style tests."""

import ast
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


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path) -> set[str]:
    """Full names of what the module imports, at the top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found
