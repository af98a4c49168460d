"""Tables of genai.yaml's keys in docs/configuration.md: `python -m tests.style.configuration` writes them."""

import re
import typing
from types import NoneType, UnionType

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from genai_spine.configuration.schema import (
    CertificateSection,
    FileSection,
    ModelSection,
    ProviderSection,
    Section,
    TimeoutSection,
)
from tests.style.source import ROOT

PAGE = ROOT / "docs" / "configuration.md"
TABLES: dict[str, type[Section]] = {
    "top": FileSection,
    "provider": ProviderSection,
    "model": ModelSection,
    "timeouts": TimeoutSection,
}
NAMES = {str: "text", int: "whole number", float: "number", bool: "true, false", SecretStr: "secret"}


def kind(annotation: typing.Any) -> str:
    """Type of a key in words."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return kind(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (typing.Union, UnionType):
        return " or ".join(kind(one) for one in inner if one is not NoneType)
    if origin is list:
        return f"list of {kind(inner[0])}"
    if origin is dict or annotation is typing.Any:
        return "mapping"
    if annotation is CertificateSection:
        return "`certificate:`, `key:`, PEM files"
    return NAMES.get(annotation, "mapping")


def table(section: type[Section]) -> str:
    """Rows of one section."""
    lines = ["| Key | Is | Meaning |", "|---|---|---|"]
    for name, field in section.model_fields.items():
        default = field.default
        shown = (
            "" if default in (None, PydanticUndefined) or default in ([], {}) else f" Default: {default:g}."
        )
        lines.append(f"| `{name}` | {kind(field.annotation)} | {field.description}{shown} |")
    return "\n".join(lines)


def page() -> str:
    """The page with the tables as they should be."""
    text = PAGE.read_text()
    for name, section in TABLES.items():
        pattern = rf"(<!-- genai\.yaml: {name} -->\n)\n(?:\|.*\n)*\n*"
        text = re.sub(pattern, lambda match, section=section: f"{match[1]}\n{table(section)}\n\n", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(page())
