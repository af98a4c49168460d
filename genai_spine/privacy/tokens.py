"""Reversible redaction (pseudonymisation): tokens in the place of values, which are restored later."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from genai_spine.privacy.redaction import redacted
from genai_spine.privacy.spans import Span, merged

TOKEN = re.compile(r"<[A-Z][A-Z0-9_]{0,63}_[0-9]{1,9}>")
LITERAL = "LITERAL"  # type of what looked like a token before there were any
CERTAIN = 1.0


@dataclass(slots=True)
class TokenMapping:
    """Tokens and their values: equal values of a type have one token. As secret as the values are."""

    values: dict[str, str] = field(default_factory=dict, repr=False)  # by the token
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._tokens = {(_type(token), value): token for token, value in self.values.items()}

    def token(self, value: str, span: Span) -> str:
        """Token of a value: the one that it has, or the next."""
        key = (span.type, value)
        if key not in self._tokens:
            number = len(self.values) + 1
            while (token := f"<{span.type}_{number}>") in self.values:
                number += 1
            self._tokens[key], self.values[token] = token, value
        return self._tokens[key]


def tokenized(text: str, spans: Iterable[Span], mapping: TokenMapping) -> str:
    """Text with tokens for spans. What looked like a token before gets one, too, and so comes back."""
    literals = [Span(*match.span(), LITERAL, CERTAIN) for match in TOKEN.finditer(text)]
    return redacted(text, merged([*spans, *literals]), mapping.token)


def restored(text: str, mapping: TokenMapping) -> str:
    """Text with the values of all tokens; a token that the mapping does not know stays."""
    return TOKEN.sub(lambda match: mapping.values.get(match[0], match[0]), text)


def _type(token: str) -> str:
    return token[1:].rpartition("_")[0]
