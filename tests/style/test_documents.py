"""The documents say what the code does."""

import re
from pathlib import Path

from google.rpc import code_pb2

from genai_spine import errors
from genai_spine.providers import PROVIDERS
from genai_spine.settings import Settings
from genai_spine.v1 import error_reason_pb2
from tests.style import compatibility, configuration, support
from tests.style.source import ROOT, SOURCES, offenders
from tests.style.test_registries import subclasses

# Files of the examples on the pages that say how something is added.
INVENTED = ("parrot", "count_claims", "count-claims")


def setting_rows() -> list[str]:
    """The table of docs/configuration.md; a failing test prints what it should hold."""
    rows = []
    for name, field in Settings.model_fields.items():
        if field.exclude:
            continue
        default = (
            "unset"
            if field.default is None
            else "none"
            if field.default in ({}, ())
            else f"`{field.default}`"
        )
        rows.append(f"| `GENAI_{name.upper()}` | {default} | {field.description} |")
    return rows


def error_rows() -> list[str]:
    rows = []
    kinds = subclasses(errors.SpineError) - {errors.SpineError, errors.ProviderFailure}
    for kind in sorted(kinds, key=lambda kind: kind.reason):
        reason = error_reason_pb2.ErrorReason.Name(kind.reason).removeprefix("ERROR_REASON_")
        openai = f"{kind.openai_status or kind.http_status} `{kind.openai_code or kind.rest_code}`"
        code = code_pb2.Code.Name(kind.code)
        rows.append(f"| `{reason}` | {code} | {kind.http_status} | {openai} | `{kind.rest_code}` |")
    return rows


def test_every_setting_is_documented_with_its_default():
    text = (ROOT / "docs/configuration.md").read_text()
    assert re.findall(r"^\| `GENAI_[A-Z_]+` \|.*$", text, re.M) == setting_rows()


def test_every_key_of_genai_yaml_is_documented():
    assert configuration.PAGE.read_text() == configuration.page()


def test_every_error_is_documented():
    text = (ROOT / "docs/errors.md").read_text()
    assert re.findall(r"^\| `[A-Z_]+` \|.*$", text, re.M) == error_rows()


def test_the_tables_of_providers_are_those_of_the_adapters():
    assert support.PAGE.read_text().partition(support.MARK)[2] == support.tables()


def test_the_tables_of_what_was_tried_are_those_of_the_tests():
    assert compatibility.PAGE.read_text().partition(compatibility.MARK)[2] == compatibility.tables()


def test_readme_names_every_provider():
    text = (ROOT / "README.md").read_text()
    assert not [name for name in PROVIDERS if f"`{name}`" not in text]


def test_links_in_the_documents_lead_somewhere():
    def broken(page):
        targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        return [target for target in targets if not (page.parent / target).exists()]

    assert offenders([ROOT / "README.md", *(ROOT / "docs").glob("*.md")], broken) == []


def named_files(page: Path) -> set[str]:
    """Paths in backticks: from a folder of ours, or of a module, which then stands in genai_spine."""
    text = page.read_text()
    tops = "genai_spine|tests|bench|proto|clients|docs"
    whole = set(re.findall(rf"`((?:{tops})/[a-z0-9_/.-]+)`", text))
    return whole | {
        f"genai_spine/{path}" for path in re.findall(rf"`((?!{tops})[a-z_]+/[a-z_/]+\.py)`", text)
    }


def test_files_that_the_documents_name_are_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]

    def missing(page):
        paths = named_files(page)
        return sorted(p for p in paths if not any(word in p for word in INVENTED) and not (ROOT / p).exists())

    assert offenders(pages, missing) == []
    few = {"adding-a-provider": 10, "adding-a-capability": 8, "development": 40}
    assert [name for name, least in few.items() if len(named_files(ROOT / f"docs/{name}.md")) <= least] == []


def test_documents_name_modules_by_their_folder():
    """A bare `module.py` names one of many, and nobody is told when it moves."""

    def bare(page):
        return re.findall(r"`[a-z_]+\.py`", page.read_text())

    assert offenders([ROOT / "README.md", *(ROOT / "docs").glob("*.md")], bare) == []


def test_no_merge_was_left_half_done():
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    texts = [*SOURCES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.y*ml")]

    def left(path):
        return [line for line in path.read_text().splitlines() if line.startswith(marks)]

    assert offenders(texts, left) == []
