"""The documents say what the code does."""

import re

from google.rpc import code_pb2

from genai_spine import errors
from genai_spine.providers import PROVIDERS
from genai_spine.settings import Settings
from genai_spine.v1 import error_reason_pb2
from tests.style import support
from tests.style.source import ROOT, SOURCES
from tests.style.test_registries import subclasses


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


def test_every_error_is_documented():
    text = (ROOT / "docs/errors.md").read_text()
    assert re.findall(r"^\| `[A-Z_]+` \|.*$", text, re.M) == error_rows()


def test_the_tables_of_providers_are_those_of_the_adapters():
    assert support.PAGE.read_text().partition(support.MARK)[2] == support.tables()


def test_readme_names_every_provider():
    text = (ROOT / "README.md").read_text()
    assert not [name for name in PROVIDERS if f"`{name}`" not in text]


def test_links_in_the_documents_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_the_page_on_adding_a_provider_names_are_there():
    text = (ROOT / "docs/adding-a-provider.md").read_text()
    named = set(re.findall(r"`((?:genai_spine|tests|bench)/[a-z_/.]+)`", text))
    assert [path for path in named if "parrot" not in path and not (ROOT / path).exists()] == []
    assert len(named) > 10


def test_no_merge_was_left_half_done():
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    for path in [*SOURCES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*.y*ml")]:
        assert not [line for line in path.read_text().splitlines() if line.startswith(marks)], path.name
