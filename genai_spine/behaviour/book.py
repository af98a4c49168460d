"""Behaviour book: what each model accepts, as dated rows with sources, beside what its protocol can say.

`rules.yaml` comes with the server and has its form at its head; the operator's file has the same form and
wins over it. Rows that match a provider and model today are laid over each other, once for each model.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

Action = Literal["accepted", "dropped", "mapped", "refused"]
Condition = Literal["reasoning", "forced_tool", "json", "json_by_tool", "temperature", "effort_high"]
Level = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SHIPPED = Path(__file__).with_name("rules.yaml")
MEMO_SIZE = 4096  # models; more are looked up again
OPERATOR = "operator"


class BookError(ValueError):
    """A file of rules that cannot be read; the message names the file and the fault."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rule of one option: what becomes of it. min, max: bounds that a number is brought within."""

    action: Action
    to: str = ""  # another field, a path in the body, or a word of adaptation.py
    values: dict[str, str] = {}
    when: Condition | list[Condition] = []
    min: float | None = None
    max: float | None = None
    because: str = ""

    @property
    def conditions(self) -> list[Condition]:
        """Conditions, of which one must hold; none: the rule always holds."""
        return [self.when] if isinstance(self.when, str) else self.when


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"but": "except"}):
    """Rules of some models. Dates are days, UTC; effort None: the row does not know the levels."""

    name: str
    provider: str = "*"
    model: str = "*"
    but: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    source: str = ""
    evidence: Literal["page", "report", "sdk-types", "operator"] = "operator"
    checked: date | None = None
    options: dict[str, Action | Rule] = {}
    effort: list[Level] | None = None
    effort_form: Literal["", "level", "switch", "budget"] = ""
    api_version: str = ""
    authentication: Literal["", "bearer", "header"] = ""
    facts: dict[str, str] = {}
    probe: list[str] = []
    silent: bool = False  # what is not taken is ignored, and not refused

    def speaks_of(self, provider: str) -> bool:
        """Whether the row is about models of a provider."""
        return _matches(self.provider, provider)

    def rule(self, option: str) -> Rule:
        """Rule of an option that stands in the row."""
        found = self.options[option]
        return Rule(found) if isinstance(found, str) else found

    def covers(self, provider: str, model: str, day: date) -> bool:
        """Whether the row speaks of a model on a day."""
        holds = (self.valid_from or date.min) <= day <= (self.valid_to or date.max)
        named = _matches(self.provider, provider) and _matches(self.model, model)
        return holds and named and not (self.but and _matches(self.but, model))


@lru_cache(MEMO_SIZE)
def _pattern(globs: str) -> re.Pattern[str]:
    parts = (".*".join(map(re.escape, glob.strip().split("*"))) for glob in globs.lower().split("|"))
    return re.compile("|".join(parts))


def _matches(globs: str, name: str) -> bool:
    return _pattern(globs).fullmatch(name.lower()) is not None


class RulesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """File of rules. parameters: OpenAI's own fields, with values of them that ask for nothing."""

    version: str = ""
    parameters: dict[str, list[Any]] = {}
    absent: list[str] = []
    rows: list[Row] = []


@dataclass(frozen=True, slots=True)
class OptionRule:
    """Rule of an option, and the row that it comes from."""

    rule: Rule
    row: Row

    @property
    def reason(self) -> str:
        """Reason of a warning: the rule's own words or its row's name, with the source."""
        words = self.rule.because or f"{self.row.name}: not taken"
        return f"{words} ({self.row.source})" if self.row.source else words


@dataclass(frozen=True, slots=True, eq=False)
class ModelRules:
    """Rules of one model, of all rows that cover it."""

    rows: tuple[Row, ...] = ()
    options: Mapping[str, OptionRule] = field(default_factory=dict)
    effort: tuple[Level, ...] | None = None  # None: nobody says; ours are all sent on
    effort_form: str = ""
    api_version: str = ""
    authentication: str = ""
    fields: frozenset[str] = frozenset()  # fields of the request that some rule is about

    @property
    def effort_row(self) -> Row | None:
        """Row that says which levels there are."""
        return next((row for row in reversed(self.rows) if row.effort is not None), None)

    @property
    def calls_each_choice(self) -> bool:
        """Several choices are asked for by as many calls."""
        found = self.options.get("choice_count")
        return found is not None and found.rule.to == "calls"


class BehaviourBook:
    """Rows, the strongest last; built once at start, safe to share between threads.

    What somebody else remembers of it holds for one day.
    """

    def __init__(self, shipped: RulesFile, own: Iterable[Row] = (), today: Callable[[], date] = date.today):
        self.version = shipped.version
        self.parameters = shipped.parameters
        self.absent = frozenset(shipped.absent)
        self.rows = (*shipped.rows, *own)
        self.today = today
        self._rules = lru_cache(MEMO_SIZE)(self._laid_over)

    @classmethod
    def load(cls, own: Path | None = None, today: Callable[[], date] = date.today) -> "BehaviourBook":
        """Book of the server, with the rows of the operator's file. Errors: BookError."""
        rows = read(own).rows if own else []
        return cls(read(SHIPPED), rows, today)

    def rules(self, provider: str, model: str) -> ModelRules:
        """Rules of a model by the upstream's name, today."""
        return self._rules(provider, model, self.today())

    def _laid_over(self, provider: str, model: str, day: date) -> ModelRules:
        rows = tuple(row for row in self.rows if row.covers(provider, model, day))
        options = {option: OptionRule(row.rule(option), row) for row in rows for option in row.options}
        taken = {option: found for option, found in options.items() if found.rule.action != "accepted"}
        efforts = [row.effort for row in rows if row.effort is not None]
        fields = {
            "provider_options_json" if name in self.parameters else name.partition(".")[0] for name in taken
        }
        return ModelRules(
            rows=rows,
            options=options,
            effort=tuple(efforts[-1]) if efforts else None,
            effort_form=_last(row.effort_form for row in rows),
            api_version=_last(row.api_version for row in rows),
            authentication=_last(row.authentication for row in rows),
            fields=frozenset(fields | ({"reasoning_effort"} if efforts else set())),
        )


def _last(texts: Iterable[str]) -> str:
    return next((text for text in reversed(list(texts)) if text), "")


def read(path: Path) -> RulesFile:
    """Rules of a YAML file. Errors: BookError naming the place."""
    try:
        parsed = yaml.load(path.read_text(), LOADER) or {}
        file = msgspec.convert(parsed, RulesFile)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise BookError(f"{path}: {error}") from error
    for row in file.rows:
        unproven = row.evidence in ("report", "sdk-types")
        if unproven and any(row.rule(option).action == "refused" for option in row.options):
            raise BookError(f"{path}: {row.name!r} refuses an option without a page as its evidence")
    return file
