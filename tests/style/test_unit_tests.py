"""Unit tests mirror the tree, so that the test of a module is found where the module is."""

from tests.style.source import PACKAGE, ROOT, offenders

UNIT = ROOT / "tests" / "unit"
# Simulators are tested too; they stand beside the tests, not in the package.
MIRRORED = {"upstreams": ROOT / "tests" / "upstreams"}
# Tests of files that are no modules.
OTHERS = {UNIT / "supervisor" / "test_compose.py": ROOT / "docker-compose.yml"}


def mirrored(path):
    """Folder whose modules the tests beside `path` are about."""
    below = path.parent.relative_to(UNIT)
    return MIRRORED.get(str(below), PACKAGE / below)


def has_module(path):
    """`test_ledger.py` and `test_ledger_outages.py` are both about `ledger.py`."""
    words = path.stem.removeprefix("test_").split("_")
    names = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return any((mirrored(path) / f"{name}.py").exists() for name in names)


def test_unit_tests_are_named_after_the_module_that_they_are_about():
    tests = set(UNIT.rglob("test_*.py")) - set(OTHERS)
    assert len(tests) > 60
    assert offenders(sorted(tests), lambda path: not has_module(path) and "no such module") == []


def test_folders_of_unit_tests_are_folders_of_the_package():
    folders = {path.parent for path in UNIT.rglob("*.py")}
    assert offenders(sorted(folders), lambda path: not mirrored(path / "x.py").is_dir()) == []


def test_tests_of_other_files_are_there_as_long_as_the_files():
    assert offenders(OTHERS, lambda path: not (path.exists() and OTHERS[path].exists())) == []
