"""Template language of prompts: sandboxed Jinja2, and `{name}` for the variables that a prompt declares.

Other braces stay as they are. Nothing is evaluated while a template is compiled. A template whose work is
bounded by the size of its values (Template.cost) may be rendered in this process; any other one belongs
into a process of its own, see sandbox_process.py, which loads this module: it imports only Jinja2.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from jinja2 import Template as JinjaTemplate
from jinja2 import TemplateSyntaxError, Undefined, meta, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.lexer import Lexer, TokenStream
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_OUTPUT_CHARS = 10_000_000  # characters of one rendered template
MAX_DEPTH = 60  # nodes within nodes
MAX_TOKENS = 10_000  # of the parts of a template that are no plain text; so many compile in 0.3 s
# Words that cannot name a variable, because the language gives them a meaning.
RESERVED = frozenset(
    (
        "true",
        "false",
        "none",
        "True",
        "False",
        "None",
        "and",
        "or",
        "not",
        "in",
        "is",
        "if",
        "else",
        "elif",
        "for",
        "loop",
        "self",
        "super",
    )
)
REMOVED_FILTERS = ("attr", "pprint", "random", "xmlattr", "urlize")
REMOVED_GLOBALS = ("lipsum", "cycler", "joiner")
# What one piece of a bounded template may do. GROWING ones must not stand within each other.
BOUNDED_NODES = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.CondExpr),
    *(
        nodes.Getattr,
        nodes.Getitem,
        nodes.Slice,
        nodes.And,
        nodes.Or,
        nodes.Not,
        nodes.Compare,
        nodes.Operand,
    ),
    *(nodes.Test, nodes.Filter, nodes.For, nodes.Add, nodes.Sub, nodes.Neg, nodes.Concat, nodes.List),
    *(nodes.Tuple, nodes.Keyword),
)
GROWING_FILTERS = frozenset(("join", "tojson", "escape", "e"))
BOUNDED_FILTERS = GROWING_FILTERS | {
    *("upper", "lower", "trim", "capitalize", "default", "d", "length", "count"),
    *("first", "last", "int", "float", "abs", "string"),
}
BOUNDED_TESTS = frozenset(
    (
        "defined",
        "undefined",
        "none",
        "string",
        "number",
        "boolean",
        "true",
        "false",
        "integer",
        "float",
        "mapping",
        "sequence",
        "eq",
        "ne",
        "in",
    )
)
WHOLE_VALUE_NODES = (
    nodes.Compare,
    nodes.Filter,
    nodes.Test,
    nodes.Add,
    nodes.Concat,
    nodes.Getitem,
)  # read all of a value
SPACES = "\x1c\x1d\x1e\x1f\x85\u2028\u2029"  # white space that stands for carriage returns meanwhile
NODE_COST = 100  # of a node, in characters that could be read meanwhile

Loops = tuple[str | None, ...]


class TextRefused(Exception):
    """Refusal of a text that cannot be used: "line N: what is wrong"."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(f"line {line}: {problem}" if line else problem)


class UnchangedLineEnds(Lexer):
    """Lexer that leaves the carriage returns of a template as they are; Jinja's own has one line end for
    all.

    Its caller writes them as another kind of white space, which a template has no use for; in what is no
    syntax they come back.
    """

    def __init__(self, environment: "PromptEnvironment", returns: str) -> None:
        super().__init__(environment)
        self._returns = returns

    def _normalize_newlines(self, value: str) -> str:
        return value.replace(self._returns, "\r")


class PromptEnvironment(ImmutableSandboxedEnvironment):
    """Jinja environment of prompts: immutable sandbox without costly filters, plus single braces."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, names: Sequence[str]) -> None:
        """Environment for a prompt. names: variables that may stand in single braces."""
        # optimized, and a finalize that needs a context: constant parts would be computed while compiling.
        super().__init__(optimized=False, finalize=_finalize, keep_trailing_newline=True, cache_size=0)
        self._single = re.compile("{(" + "|".join(map(re.escape, names)) + ")}") if names else None
        for name in REMOVED_FILTERS:
            del self.filters[name]
        for name in REMOVED_GLOBALS:
            del self.globals[name]

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Refusal of an attribute, also inside str.format(), where Jinja's own would be an empty text."""
        raise SecurityError(f"attribute '{attribute}' is not accessible")

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        """Jinja's tokens, with `{name}` in plain text as if it were `{{ name }}`."""
        lexer = self.lexer
        if "\r" in source and (unused := next((sign for sign in SPACES if sign not in source), None)):
            source, lexer = source.replace("\r", unused), UnchangedLineEnds(self, unused)
        lexed = self._doubled(lexer.tokeniter(source, name, filename, state))
        return TokenStream(lexer.wrap(_limited(lexed), name, filename), name, filename)

    def _doubled(self, tokens: Iterator[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
        """Tokens in which `{name}` of plain text has become a Jinja expression."""
        raw = False
        for line, kind, text in tokens:
            raw = kind == "raw_begin" or (raw and kind != "raw_end")
            if kind != "data" or raw or self._single is None or "{" not in text:
                yield line, kind, text
                continue
            for number, part in enumerate(self._single.split(text)):
                if number % 2:
                    yield line, "variable_begin", "{{"
                    yield line, "name", part
                    yield line, "variable_end", "}}"
                elif part:
                    yield line, "data", part
                line += part.count("\n")


def _limited(tokens: Iterator[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    """Tokens, up to MAX_TOKENS within braces. Raises TextRefused, also for a comment without an end."""
    count, comment = 0, None
    for token in tokens:
        if token[1] == "comment_begin":
            comment = token[0]
        elif token[1] == "comment_end":
            comment = None
        count += token[1] not in ("data", "whitespace")
        if count > MAX_TOKENS:
            raise TextRefused(token[0], f"it has more than {MAX_TOKENS} words and signs in its braces")
        yield token
    if comment is not None:
        raise TextRefused(comment, "the comment has no end")


class Template:
    """Compiled template. Raises TextRefused where the source is wrong."""

    def __init__(self, source: str, names: Sequence[str]) -> None:
        self.source, self.names = source, tuple(names)
        language = PromptEnvironment(self.names)
        try:
            tree = language.parse(source)
            _check(tree, language, frozenset(names))
            self._costs = _costs(tree)
            self._name_count = sum(1 for _ in tree.find_all(nodes.Name))
            code = language.compile(tree, filename="<template>")
        except TemplateSyntaxError as error:
            raise TextRefused(error.lineno, error.message or "is no template") from error
        except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError) as error:
            raise TextRefused(None, "it is nested too deeply") from error
        self._template = JinjaTemplate.from_code(language, code, dict(language.globals))

    def cost(self, values: Mapping[str, Any]) -> float:
        """Upper bound of the work to render it, in characters read; infinity when nothing bounds it."""
        if self._costs is None:
            return float("inf")
        structures = sum(_size(value) for value in values.values() if not isinstance(value, str))
        if not self._costs:
            return float(structures * self._name_count)
        size = sum(_size(value) for value in values.values())

        def times(loop: str | None) -> int:
            value = values.get(loop) if loop else None
            return len(value) if isinstance(value, list) else size

        return structures * self._name_count + sum(
            count * (NODE_COST + size * whole) * prod(map(times, loops))
            for (loops, whole), count in self._costs.items()
        )

    def render(self, values: Mapping[str, Any]) -> str:
        """Rendered text.

        Raises TextRefused above MAX_OUTPUT_CHARS, or where rendering fails with these values.
        """
        parts, length = [], 0
        try:
            for part in self._template.generate(values):
                length += len(part)
                if length > MAX_OUTPUT_CHARS:
                    raise TextRefused(None, f"it makes more than {MAX_OUTPUT_CHARS} characters")
                parts.append(part)
            return "".join(parts)
        except TextRefused:
            raise
        except MemoryError:
            raise TextRefused(None, "it needs too much memory") from None
        except Exception as error:  # whatever a template's own expressions raise
            raise TextRefused(_line(error), _error_text(error)) from error


def _check(tree: nodes.Template, language: PromptEnvironment, names: frozenset[str]) -> None:
    """Static check of a template: names, filters, tests, depth. Raises TextRefused."""
    if _depth(tree) > MAX_DEPTH:
        raise TextRefused(None, "it is nested too deeply")
    for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)):
        raise TextRefused(node.lineno, f"{type(node).__name__.lower()} is not offered: a prompt stands alone")
    for filter_ in tree.find_all(nodes.Filter):
        if filter_.name not in language.filters:
            raise TextRefused(filter_.lineno, f"there is no filter '{filter_.name}'")
    for test in tree.find_all(nodes.Test):
        if test.name not in language.tests:
            raise TextRefused(test.lineno, f"there is no test '{test.name}'")
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            raise TextRefused(attribute.lineno, f"attribute '{attribute.attr}' is not accessible")
    unknown = meta.find_undeclared_variables(tree) - names - set(language.globals)
    if unknown:
        used = [node for node in tree.find_all(nodes.Name) if node.name in unknown]
        first = min(used, key=lambda node: node.lineno) if used else None
        name = first.name if first else sorted(unknown)[0]
        raise TextRefused(first.lineno if first else None, f"variable '{name}' is not declared")


def _depth(tree: nodes.Node) -> int:
    """Depth of the syntax tree."""
    depth, level = 0, [tree]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for node in level for child in node.iter_child_nodes()]
    return depth


def _costs(tree: nodes.Template) -> "Counter[tuple[Loops, bool]] | None":
    """Number of nodes by the loops that they run in, and of those that read a whole value.

    A loop is the name of the variable that it iterates over, None for anything else. None: nothing bounds it.
    """
    costs: Counter[tuple[Loops, bool]] = Counter()
    free = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const)
    left: list[tuple[nodes.Node, Loops]] = [(tree, ())]
    while left:
        node, loops = left.pop()
        if not _is_bounded(node):
            return None
        if loops or not isinstance(node, free):
            costs[loops, isinstance(node, WHOLE_VALUE_NODES)] += 1
        inner = loops
        if isinstance(node, nodes.For):
            inner = (*loops, node.iter.name if isinstance(node.iter, nodes.Name) else None)
        left += [(child, inner) for child in node.iter_child_nodes()]
    return costs


def _is_bounded(node: nodes.Node) -> bool:
    """Whether the work of a node is bounded by the size of its values."""
    if type(node) not in BOUNDED_NODES:
        return False
    if isinstance(node, nodes.For):
        return not node.recursive
    if isinstance(node, nodes.List | nodes.Tuple):
        return all(isinstance(item, nodes.Const | nodes.Name) for item in node.items)
    if isinstance(node, nodes.Test):
        return node.name in BOUNDED_TESTS
    if isinstance(node, nodes.Filter):
        fixed = all(isinstance(given, nodes.Const) and _size(given.value) < 20 for given in node.args)
        grown = node.name in GROWING_FILTERS and any(
            inner.name in GROWING_FILTERS for inner in node.find_all(nodes.Filter)
        )
        no_more = node.node is not None and not (node.kwargs or node.dyn_args or node.dyn_kwargs)
        return node.name in BOUNDED_FILTERS and fixed and no_more and not grown
    return True


def _size(value: Any) -> int:
    """About how many characters a value has."""
    if isinstance(value, str):
        return len(value) + 1
    if isinstance(value, list | tuple):
        return 1 + sum(_size(item) for item in value)
    if isinstance(value, dict):
        return 1 + sum(len(key) + _size(item) for key, item in value.items())
    return 8


@pass_context
def _finalize(context: Any, value: Any) -> str:
    """Text of a value: a list of plain values with commas, other structures as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Undefined):
        if value._undefined_exception is SecurityError:
            value._fail_with_undefined_error()
        return ""
    if isinstance(value, list | tuple):
        if all(isinstance(item, str | int | float | None) for item in value):
            return ", ".join(_finalize(context, item) for item in value)
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _line(error: Exception) -> int | None:
    """The line of the template that raised."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _error_text(error: Exception) -> str:
    """Message of an error of Jinja, without its internals."""
    if isinstance(error, RecursionError):
        return "it calls itself without an end"
    return str(error)[:300] or type(error).__name__
