"""Documentation: there is enough of it, and its first words name the thing that is looked for."""

import ast
import io
import re
import tokenize

from tests.style.source import MODULES, PACKAGE, offenders, tree

MIN_PER_100 = 15  # lines of docstrings and comments to 100 lines of code
# A reader who greps or skims sees the first words alone; a pronoun there stands for something not read yet.
PRONOUNS = {
    *("it", "its", "this", "that", "these", "those", "they", "their", "them", "we", "our", "you", "your"),
    *("i", "he", "his", "she", "her", "who", "whom", "whose", "whoever", "which", "what", "whatever"),
    *("everything", "something", "anything", "nothing", "everybody", "somebody", "nobody"),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(source: ast.Module) -> list[tuple[str, ast.Constant]]:
    """Name of the module ("module"), class or function, and its docstring."""
    found = []
    for node in ast.walk(source):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            assert isinstance(first.value, ast.Constant)
            found.append((getattr(node, "name", "module"), first.value))
    return found


def lines_of(text: str) -> tuple[int, int]:
    """Lines of documentation and of code in a module: blank ones are neither, code with a comment is both."""
    strings = [node for _, node in docstrings(ast.parse(text))]
    within = {line for node in strings for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    comments, code = set(), set()
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in skipped:
            code.update(range(token.start[0], token.end[0] + 1))
    blank = {number for number, line in enumerate(text.splitlines(), 1) if not line.strip()}
    return len((within | comments) - blank), len(code - within - blank)


def begins_badly(source: ast.Module) -> list[str]:
    """Public docstrings whose first word is a pronoun."""
    found = []
    for name, node in docstrings(source):
        first = re.match(r"\W*(\w+)", str(node.value))
        is_message = name[0].isupper() and str(node.value)[0].islower()
        if first and first[1].lower() in PRONOUNS and not (name.startswith("_") or is_message):
            found.append(f"{name} ({first[1]}, line {node.lineno})")
    return found


def test_docstrings_begin_with_the_word_that_is_looked_for():
    """Docstrings of errors are the messages that callers get: they begin in lower case."""
    found = offenders(MODULES, lambda path: begins_badly(tree(path)))
    assert found == [], "\n".join(found)


def test_there_are_15_lines_of_documentation_to_100_of_code():
    counted = {path: lines_of(path.read_text()) for path in MODULES if "migrations" not in path.parts}
    documentation, code = (sum(column) for column in zip(*counted.values(), strict=True))
    poor = sorted(counted, key=lambda path: counted[path][0] * 100 - counted[path][1] * MIN_PER_100)
    shown = [f"{path.relative_to(PACKAGE)}: {counted[path][0]} to {counted[path][1]}" for path in poor[:20]]
    assert documentation * 100 / code >= MIN_PER_100, "\n".join(shown)


def test_lines_are_told_apart():
    text = '"""A.\n\nB."""\n\n# why\nx = 1  # s\n\n\ndef f():\n    """C."""\n    return """\n    d\n    """\n'
    assert lines_of(text) == (5, 5)


def test_pronouns_are_seen_in_public_docstrings_only():
    source = """
class A:
    \"\"\"What it is.\"\"\"
    def b(self): \"\"\"`It` runs.\"\"\"
    def _c(self): \"\"\"This runs.\"\"\"
    def d(self): \"\"\"Items run.\"\"\"
"""
    assert begins_badly(ast.parse(source)) == ["A (What, line 3)", "b (It, line 4)"]
