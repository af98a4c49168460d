"""Sizes and names: the rules of the house that a machine can check."""

import ast
import re

import pytest

from tests.style.source import ROOT, SOURCES, name, tree

LONGEST_FILE = 500
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6  # five, and self
BANNED = re.compile(r"(^|_)(utils?|helpers?|common|manager|handler|impl|misc|legacy|new)(_|$)", re.IGNORECASE)


def functions(path):
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_file_is_short_enough_to_read(path):
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_functions_are_short_enough_to_read(path):
    long = [node.name for node in functions(path) if node.end_lineno - node.lineno >= LONGEST_FUNCTION]
    assert not long


@pytest.mark.parametrize("path", [path for path in SOURCES if "genai_spine/" in name(path)], ids=name)
def test_functions_take_few_parameters(path):
    def count(node):
        return len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)

    # Commands of the CLI are called by typer, which makes each parameter an option.
    commands = path.stem.split("_")[0] == "cli"
    many = [node.name for node in functions(path) if count(node) > MOST_PARAMETERS and not commands]
    assert not many


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_names_of_files_and_classes_say_something(path):
    classes = [node.name for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    words = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", given) for given in [path.stem, *classes]]
    assert not [word for word in words if BANNED.search(word)]


@pytest.mark.parametrize("path", [path for path in SOURCES if "tests/" not in name(path)], ids=name)
def test_module_says_what_it_is(path):
    assert path.read_text() == "" or ast.get_docstring(tree(path))


def test_packages_are_two_deep_at_most():
    deep = [path for path in (ROOT / "genai_spine").rglob("*.py") if len(path.relative_to(ROOT).parts) > 3]
    assert {path.parts[-2] for path in deep} <= {"migrations", "versions"}
