"""What each provider takes and does, read off the adapters: the tables of docs/providers.md.

`python -m tests.style.support` writes them there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from genai_spine.behaviour.book import BehaviourBook, Row
from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Option, Provider, Route
from genai_spine.routing.candidates import check_candidate
from genai_spine.v1 import completion_service_pb2 as pb
from tests.style.source import ROOT
from tests.style.test_registries import KINDS_OF_PARTS, adapters

PAGE = ROOT / "docs/providers.md"
MARK = "<!-- From here on: python -m tests.style.support -->\n"
RESPONSES_MODEL = "o3-pro"  # one that answers at OpenAI's Responses API only
ABOVE = "above"  # done above the adapters
# Methods of an adapter by what they are called here.
OPERATIONS = {
    "completions": "stream",
    "embeddings": "embed",
    "images": "create_images",
    "transcription": "transcribe",
    "speech": "create_speech",
    "files": "upload_file",
    "batches": "create_batch",
    "counting of tokens": "count_tokens",
    "pull": "pull",
    "model list": "list_models",
}


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    options: Mapping[str, Option]


def columns() -> list[Column]:
    """Providers with the same options share one; `replay` takes what was recorded."""
    found: dict[tuple[tuple[str, Option], ...], list[str]] = {}
    for name, provider in adapters().items():
        if name != "replay":
            found.setdefault(tuple(sorted(provider.options.items(), key=str)), []).append(name)
    shown = [Column(", ".join(names), dict(options)) for options, names in found.items()]
    openai = adapters()["openai"]
    responses = openai.options_for(pb.CreateCompletionRequest(), Route(openai, RESPONSES_MODEL))
    return [shown[0], Column("openai, azure: Responses API", responses), *shown[1:]]


def option_rows() -> Iterator[str]:
    shown, notes = columns(), Notes()
    yield f"| Option | {' | '.join(column.title for column in shown)} |"
    yield "|---" * (len(shown) + 1) + "|"
    fields = [field.name for field in pb.CreateCompletionRequest.DESCRIPTOR.fields]
    taken = {name for column in shown for name in column.options}
    for name in (name for name in (*fields, *sorted(KINDS_OF_PARTS)) if name in taken):
        cells = (_cell(name, column.options.get(name), notes) for column in shown)
        yield f"| `{name}` | {' | '.join(cells)} |"
    yield ""
    yield from notes.lines()


class Notes:
    """What is too long for a cell."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, text: str) -> int:
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1

    def lines(self) -> Iterator[str]:
        for number, text in enumerate(self.texts, 1):
            yield f"{number}. {text}"


def _cell(name: str, option: Option | None, notes: Notes) -> str:
    if option is None:
        return ABOVE if name in ("choice_count", "response_format") else ""
    bounds = [f"at least {option.min:g}"] if option.min is not None else []
    bounds += [f"at most {option.max:g}"] if option.max is not None else []
    plain = re.fullmatch(r"[A-Za-z0-9_.]+", option.upstream)
    upstream = (
        f"`{option.upstream}`"
        if plain
        else f"yes ({notes.number(option.upstream.removeprefix(f'{name}: '))})"
    )
    return ", ".join([upstream, *bounds])


def operation_rows() -> Iterator[str]:
    yield f"| Provider | {' | '.join(OPERATIONS)} | JSON Schema |"
    yield "|---" * (len(OPERATIONS) + 2) + "|"
    for name, provider in adapters().items():
        cells = ["yes" if _offers(provider, method) else "" for method in OPERATIONS.values()]
        yield f"| `{name}`: {PROVIDERS[name].title} | {' | '.join(cells)} | {_schemas(provider)} |"


def _offers(provider: Provider, method: str) -> bool:
    return getattr(type(provider), method) is not getattr(Provider, method)


def _schemas(provider: Provider) -> str:
    wanted = pb.ResponseFormat(json_schema=pb.JsonSchema(name="any", schema_json="{}"))
    try:
        check_candidate(pb.CreateCompletionRequest(response_format=wanted), Route(provider, ""))
    except SpineError:
        return ""
    return "in words" if provider.schema is None else "native"


def behaviour_rows() -> Iterator[str]:
    """Rows of the behaviour book, with what each says."""
    book = BehaviourBook.load()
    yield f"Version {book.version}, {len(book.rows)} rows."
    yield ""
    yield "| Row | Provider: models | Options | Effort | Evidence, checked |"
    yield "|---|---|---|---|---|"
    for row in book.rows:
        models = row.model.replace("|", ", ") + (f" without {row.but.replace('|', ', ')}" if row.but else "")
        told = "; ".join(_actions(row)) or " "
        effort = "" if row.effort is None else ", ".join(row.effort) or "none at all"
        evidence = f"[{row.evidence}]({row.source}), {row.checked}"
        owner = f"`{row.provider.replace('|', ', ')}`: `{models}`"
        yield f"| {row.name} | {owner} | {told} | {effort} | {evidence} |"


def _actions(row: Row) -> Iterator[str]:
    """Options of a row by what becomes of them."""
    found: dict[str, list[str]] = {}
    for option in row.options:
        rule = row.rule(option)
        when = f" with {' or '.join(rule.conditions)}" if rule.conditions else ""
        bounds = [f"at least {rule.min:g}"] if rule.min is not None else []
        bounds += [f"at most {rule.max:g}"] if rule.max is not None else []
        to = rule.to or ", ".join(bounds) or "other values"
        action = f"mapped to {to}" if rule.action == "mapped" else rule.action
        found.setdefault(action + when, []).append(f"`{option}`")
    for action, options in found.items():
        yield f"{action}: {', '.join(options)}"
    if row.api_version:
        yield f"API version {row.api_version}"
    if row.authentication:
        yield f"key as {row.authentication}"


def tables() -> str:
    options = ("", "## Options", "", *option_rows(), "", "## Operations", "", *operation_rows(), "")
    return "\n".join((*options, "## Rows of the behaviour book", "", *behaviour_rows(), ""))


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text().partition(MARK)[0] + MARK + tables())
