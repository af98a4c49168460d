"""Names in the package are words of the field: a reader greps for `failover`, and not for a word of ours.

Only what is defined counts: modules, classes, functions, and fields of classes. Locals and prose are free,
and so are structs that spell the JSON of an upstream or of OpenAI.
"""

import ast
import re

from tests.style.source import MODULES, PACKAGE, offenders, tree

# In no part of a name; behind each, what the field says.
WORDS = {
    "door": "interceptor",
    "pursuit": "failover",
    "seat": "slot",
    "kept": "stored, background_completion",
    "told": "restamped, text, message",
    "retold": "restamped",
    "given": "input, options, request",
    "hasty": "approximate",
    "fingerprint": "cache_key",
    "relay": "shared_call",
    "relays": "shared_calls",
    "wanted": "request",
    "becomes": "set",
    "scales": "routing_context",
    "books": "accounting, settlement",
    "means": "dependencies",
    "flaw": "schema_violation",
    "patience": "timeout",
    "resting": "circuit_open",
    "milder": "drop_refused",
}
# Not as a whole name, with or without an underscore before it: as a part of one they may be the field's word.
NAMES = {
    "turn": "slot, session_lease",
    "said": "streamed_text, message",
    "at_hand": "if_loaded",
    "least": "lower_bound",
    "tally_soon": "tally_in_thread",
    "wasted": "discarded",
}
# Not as the whole name of a class: as verbs or variables they are plain.
CLASSES = {
    "Order": "Operation",
    "Tally": "TokenTally",
    "Measure": "Tokenizer",
    "Filled": "FilledPrompt",
    "Pinned": "ResolvedPrompt",
    "Prompts": "PromptLibrary",
    "Conversations": "SessionLibrary",
    "Sends": "MessageSender",
    "Ask": "PendingMessage, Question",
    "Listener": "Subscriber",
    "Log": "Backlog",
    "Splitter": "FrameDecoder",
    "Clock": "CallTimer",
    "Wire": "HttpClient",
}
# A word that the contract has from OpenAI.
OF_THE_CONTRACT = {"system_fingerprint"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def words(name: str) -> list[str]:
    """`RelayLog` and `_relay_log` are both relay and log."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip("_").lower().split("_")


def better(name: str) -> str | None:
    """Words to say in place of the name; None: it is a good one."""
    if name in OF_THE_CONTRACT:
        return None
    found = [WORDS[word] for word in words(name) if word in WORDS]
    return "; ".join(found) or NAMES.get("_".join(words(name))) or CLASSES.get(name.strip("_"))


def is_wire_struct(node: ast.ClassDef) -> bool:
    """It spells somebody's JSON: its names are theirs."""
    return any(ast.unparse(base).endswith("Struct") for base in node.bases)


def fields(node: ast.ClassDef) -> list[str]:
    """Annotated names of a class body."""
    lines = [line for line in node.body if isinstance(line, ast.AnnAssign)]
    return [line.target.id for line in lines if isinstance(line.target, ast.Name)]


def defined(source: ast.Module) -> list[str]:
    """Names of the classes, functions and fields that a module defines; not of functions inside functions."""
    found, waiting = [], list(source.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef) and not is_wire_struct(node):
            found += [node.name, *fields(node)]
            waiting += node.body
        elif isinstance(node, ast.If | ast.Try):
            waiting += node.body
    return found


def renamed(names: list[str]) -> list[str]:
    return sorted({f"{name} ({say})" for name in names if (say := better(name))})


def test_names_of_modules_and_folders_are_words_of_the_field():
    found = offenders(MODULES, lambda path: renamed([path.stem, *path.relative_to(PACKAGE).parts[:-1]]))
    assert found == [], "\n".join(found)


def test_names_of_classes_functions_and_fields_are_words_of_the_field():
    found = offenders(MODULES, lambda path: renamed(defined(tree(path))))
    assert found == [], "\n".join(found)


def test_a_private_word_is_seen_wherever_it_is_defined():
    source = """
class RelayLog:
    kept_s: float
    def told(self, given): wanted = 1
def _at_hand():
    def hasty(): ...
class Body(Struct):
    given: int
"""
    assert sorted(renamed(defined(ast.parse(source)))) == [
        "RelayLog (shared_call)",
        "_at_hand (if_loaded)",
        "kept_s (stored, background_completion)",
        "told (restamped, text, message)",
    ]
