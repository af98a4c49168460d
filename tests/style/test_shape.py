"""Sizes and names: the rules of the house that a machine can check."""

import ast
import re
from collections import Counter

from genai_spine.capabilities import CAPABILITIES
from tests.style.source import MODULES, PACKAGE, ROOT, SOURCES, offenders, room, tree

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6  # five, and self
MAX_MODULES = 15
MAX_FAMILY = 2  # files of one folder whose names begin with one word
BANNED = re.compile(r"(^|_)(utils?|helpers?|common|manager|handler|impl|misc|legacy|new)(_|$)", re.IGNORECASE)
FOLDERS = sorted({path.parent for path in MODULES} - {PACKAGE / "store" / "migrations" / "versions"})


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_files_are_short_enough_to_read():
    assert offenders(SOURCES, lambda path: len(path.read_text().splitlines()) > MAX_FILE_LINES) == []


def test_functions_are_short_enough_to_read():
    def long(path):
        return [node.name for node in functions(path) if node.end_lineno - node.lineno >= MAX_FUNCTION_LINES]

    assert offenders(SOURCES, long) == []


def test_functions_take_few_parameters():
    def many(path):
        # Commands of the CLI are called by typer, which makes each parameter an option.
        if room(path) == "cli":
            return []
        return [node.name for node in functions(path) if _parameters(node.args) > MAX_PARAMETERS]

    assert offenders(MODULES, many) == []


def _parameters(args: ast.arguments) -> int:
    return len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs)


def test_names_of_files_and_classes_say_something():
    def empty(path):
        classes = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
        words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", given) for given in [path.stem, *classes]]
        return [word for word in words if BANNED.search(word)]

    assert offenders(SOURCES, empty) == []


def test_modules_say_what_they_are():
    ours = [path for path in SOURCES if not path.is_relative_to(ROOT / "tests")]
    assert offenders(ours, lambda path: path.read_text() and not ast.get_docstring(tree(path))) == []


# Rooms with rooms inside: a protocol of providers, the ledger, what a subject has of tables or commands, and
# OpenAI's batches and the parts of runs.
THREE_DEEP = (
    "providers",
    "billing",
    "store",
    "cli",
    "openai_api",
    "runs",
    "pipelines",
    "inference",
    "edge",
    "supervisor",
)


def test_packages_are_two_deep_and_some_three():
    def deep(path):
        below = path.relative_to(PACKAGE).parts[:-1]
        return len(below) > 1 and below[0] not in THREE_DEEP

    assert offenders(MODULES, deep) == []
    assert offenders(MODULES, lambda path: len(path.relative_to(PACKAGE).parts) > 4) == []


def test_folders_hold_few_modules():
    """Rows of a registry and services of the contract do not count."""

    def many(folder):
        stems = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        if folder == PACKAGE / "capabilities":
            stems -= {name.replace("-", "_") for name in CAPABILITIES}
        if folder == PACKAGE / "services":
            stems -= {
                path.stem.removesuffix("_service") for path in (ROOT / "proto/genai_spine/v1").glob("*")
            }
        return len(stems) > MAX_MODULES and sorted(stems)

    assert offenders(FOLDERS, many) == []


def test_folders_hold_no_families():
    """Three files with one prefix are a folder that was not made."""

    def families(folder):
        prefixes = Counter(
            path.stem.split("_")[0] for path in folder.glob("*_*.py") if path.stem != "__init__"
        )
        return [prefix for prefix, count in prefixes.items() if count > MAX_FAMILY]

    assert offenders([folder for folder in FOLDERS if folder != PACKAGE / "services"], families) == []
