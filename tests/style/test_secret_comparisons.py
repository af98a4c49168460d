"""Secrets are compared in a time that does not depend on them: by compare_digest, or by a digest's row."""

import ast
import re

from tests.style.source import MODULES, PACKAGE, tree

SECRET = re.compile(
    r"(^|_)(secret|password|passphrase|signature|seal|hmac|mac|api_key|credential|secret_hash|bearer)s?$",
    re.I,
)
EQUALITY = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
# Names of the word that are no secrets, and comparisons that no caller can time.
HARMLESS = {
    "supervisor/edge_tls.py: signature == self._signature",  # sizes and times of files
    "edge/server_credentials.py: signature == self._signature",
    "edge/http_server/tls.py: signature == self._signature",
    "providers/http/client.py: secret not in text",  # our own key, searched for in an error to take it out
    "billing/reconciliation.py: line.api_key not in self.our_keys",  # ids of keys, from an operator's file
}


def name(node: ast.expr) -> str:
    """Last word of an expression: of a.secret, row["secret"], secret(), secret[1:]."""
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    for part in ("attr", "id"):
        if hasattr(node, part):
            return str(getattr(node, part))
    inner = getattr(node, "func", None) or getattr(node, "value", None)
    return name(inner) if isinstance(inner, ast.expr) else ""


def comparisons(module: ast.AST) -> list[str]:
    """Comparisons with == or in of something that has the name of a secret."""
    return [
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, EQUALITY) for op in node.ops)
        and any(SECRET.search(name(side)) for side in (node.left, *node.comparators))
    ]


def test_no_secret_is_compared_byte_by_byte():
    found = {
        f"{path.relative_to(PACKAGE)}: {comparison}"
        for path in MODULES
        for comparison in comparisons(tree(path))
    }
    assert found == HARMLESS


def test_the_rule_sees_comparisons_of_each_shape():
    source = (
        "given == self.secret\nrow['secret_hash'] != x\nx in api_keys()\nsignature[3:] == y\nsecrets == 1"
    )
    assert len(comparisons(ast.parse(source))) == 5
