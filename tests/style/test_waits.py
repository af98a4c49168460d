"""Waits with a limit are asyncio.timeout(): wait_for() loses a cancellation that comes with what it awaits.

Python 3.12 mended it; with 3.11 a loop that waits so goes on, and who cancelled it waits for it for ever.
"""

import ast

from tests.style.source import MODULES, PACKAGE, tree


def waits(module: ast.AST) -> list[ast.AST]:
    """Uses of asyncio.wait_for."""
    return [
        node
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute | ast.alias)
        and "wait_for" in (getattr(node, "attr", None), getattr(node, "name", None))
    ]


def test_nothing_waits_with_wait_for():
    assert [str(path.relative_to(PACKAGE)) for path in MODULES if waits(tree(path))] == []


def test_the_rule_sees_both_ways_to_say_it():
    source = "asyncio.wait_for(a, 1)\nfrom asyncio import wait_for"
    assert len(waits(ast.parse(source))) == 2
