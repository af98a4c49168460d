"""Tokens of reversible redaction put back in texts that come in pieces, and in JSON."""

import json
import re

from genai_spine.privacy.tokens import TokenMapping, restored

# In the text of JSON, where some writers escape the brackets.
JSON_TOKEN = re.compile(r"(?:<|\\u003[cC])([A-Z][A-Z0-9_]{0,63}_[0-9]{1,9})(?:>|\\u003[eE])")
# What may become a token with the next piece: it is held back.
BEGUN = re.compile(r"<(?:[A-Z][A-Z0-9_]{0,73})?\Z")
JSON_BEGUN = re.compile(
    r"(?:(?:<|\\u003[cC])(?:[A-Z][A-Z0-9_]{0,73}(?:\\(?:u(?:0(?:03?)?)?)?)?)?|\\(?:u(?:0(?:03?)?)?)?)\Z"
)
MAX_TOKEN_CHARS = 90


def restored_json(text: str, mapping: TokenMapping) -> str:
    """Text of JSON with the values of all tokens, escaped as JSON wants it."""

    def value(match: re.Match[str]) -> str:
        found = mapping.values.get(f"<{match[1]}>")
        return match[0] if found is None else json.dumps(found, ensure_ascii=False)[1:-1]

    return JSON_TOKEN.sub(value, text)


class TokenStream:
    """One text that comes in pieces. A token that is cut between two is held back until it is whole."""

    def __init__(self, mapping: TokenMapping, *, is_json: bool = False) -> None:
        self._mapping, self._is_json = mapping, is_json
        self._held = ""

    def feed(self, piece: str) -> str:
        """Text that the next piece makes certain."""
        text = self._held + piece
        begun = (JSON_BEGUN if self._is_json else BEGUN).search(text, max(0, len(text) - MAX_TOKEN_CHARS))
        at = len(text) if begun is None else begun.start()
        self._held = text[at:]
        return self._restored(text[:at])

    def end(self) -> str:
        """Text that was held back, which is no token then."""
        held, self._held = self._held, ""
        return self._restored(held)

    def _restored(self, text: str) -> str:
        if "<" not in text and "\\" not in text:
            return text
        return restored_json(text, self._mapping) if self._is_json else restored(text, self._mapping)
