"""Redaction: secrets in what is logged, by the names that they stand under and by how they look.

It rather takes a harmless word than leaves a key: what it took is `[redacted]`. No pattern of it backtracks
over more than a bounded piece, because it reads whatever callers and models write.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

REDACTED = "[redacted]"
MIN_SECRET = 6  # characters of a configured secret; a shorter one would be found in ordinary words
# Names of JSON members, in lower case with _ between their words.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:api_?key|passw(?:or)?d|passphrase|pwd|secret|(?:secret|private|access|signing|encryption)_key"
    r"|secret_access_key|(?:access|refresh|id|auth|api|bot|session|security|service|bearer|csrf)_token"
    r"|token|authorization|cookie|credentials?)$"
)
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# `name: value`, `name=value` and JSON within a text, whose quotes may be escaped: the end of the name with
# what stands behind it, and the whole name, both in lower case; the value.
HEAD = re.compile(
    r"((?:key|password|passwd|passphrase|pwd|secret|token|authorization|credentials?)(?:\\*[\"'])?\s{0,8}[:=]\s{0,8})"
)
NAME = re.compile(
    r"(?:(?:api|secret|access|private|signing|encryption)[_-]?key"
    r"|(?:access|refresh|id|auth|api|bot|session|security|service|bearer|csrf)[_-]?token"
    r"|password|passwd|passphrase|pwd|secret|authorization|credentials?)[\\\"'\s]{0,16}[:=]\s{0,8}\Z"
)
VALUE = re.compile(
    r"(\")(?:[^\"\\]|\\.)*(\"?)|(\\{1,8}\")(?:(?!\\{1,8}\")[^\n])*|(')[^'\n]*('?)"
    r"|(?:(?:bearer|basic|digest|token)\s{1,8})?[^\s\"'\\,;&)}\]<>]+",
    re.IGNORECASE | re.DOTALL,
)
COOKIE = re.compile(r"(cookie\s{0,8}:\s{0,8})[^\r\n\"'\\=]{1,128}=[^\r\n\"'\\]*", re.IGNORECASE)
BEARER = re.compile(
    r"\b((?:[Bb]earer|BEARER|[Bb]asic|BASIC)\s{1,8})(?=[A-Za-z._~+/=-]{0,512}[0-9=])[A-Za-z0-9._~+/=-]{8,}"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
URL_USER = re.compile(r"(?<=://)(?:[^\s/@\"'<>]{1,512}|[^\s/:@\"'<>]{1,128}:[^\s@\"'<>]{1,512})@")
URL_PARAMETER = re.compile(
    r"([?&][\w.-]{0,64}?(?:passw(?:or)?d|secret|token|key|sig(?:nature)?|credential)[\w.-]{0,32}=)[^&#\s\"'<>\\]*",
    re.IGNORECASE,
)
# Keys as their issuers make them: OpenAI, Anthropic and others; this service; AWS, Google, GitHub, GitLab,
# Slack, Hugging Face, Groq, xAI, Perplexity, Replicate, Stripe; Bedrock's; JSON Web Tokens.
KEYS = {
    "sk-": r"[\w-]{16,}",
    "gs_": r"(?:live|test|service)_\w{8,}",
    "AKIA": "[A-Z0-9]{16}",
    "ASIA": "[A-Z0-9]{16}",
    "AIza": r"[\w-]{30,}",
    "gh": r"[pousr]_\w{20,}",
    "github_pat_": r"\w{20,}",
    "glpat-": r"[\w-]{16,}",
    "xox": r"[abeoprs]-[\w-]{10,}",
    "hf_": r"\w{20,}",
    "gsk_": r"\w{20,}",
    "xai-": r"\w{20,}",
    "pplx-": r"\w{20,}",
    "r8_": r"\w{20,}",
    "sk_": r"(?:live|test)_\w{16,}",
    "rk_": r"(?:live|test)_\w{16,}",
    "ya29.": r"[\w-]{20,}",
    "ABSK": r"[\w+/=]{20,}",
    "eyJ": r"[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Rule of what is replaced, and by what. Only texts with one of its words are searched."""

    pattern: re.Pattern[str]
    replacement: str = REDACTED
    words: tuple[
        str, ...
    ] = ()  # in lower case; one of them is in each match. None of them: it is always tried

    def apply(self, text: str, lower: str) -> str:
        """Text after this rule. lower: the text before all rules in lower case."""
        if self.words and not any(word in lower for word in self.words):
            return text
        return self.pattern.sub(self.replacement, text)


class Redactor:
    """Redaction by general rules, by secrets that are known, and by the operator's own patterns."""

    def __init__(self, secrets: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        """Redactor. secrets: texts that are taken wherever they stand. patterns: regular expressions.

        Raises re.error.
        """
        known = sorted({text for text in secrets if len(text) >= MIN_SECRET}, key=len, reverse=True)
        own = [re.compile("|".join(map(re.escape, known)))] if known else []
        own += [re.compile(pattern) for pattern in patterns]
        self._rules = (*map(Rule, own), *RULES)

    def text(self, text: str) -> str:
        """Text without its secrets."""
        lower = text.lower()
        text = _without_values(text, lower)
        for rule in self._rules:
            text = rule.apply(text, lower)
        return text


def is_secret(name: str, siblings: Any) -> bool:
    """Whether the member of this name of a JSON object is a secret. siblings: the object.

    The `token` that has a log probability is a piece of the answer.
    """
    words = WORDS.sub("_", name).replace("-", "_").lower()
    return bool(SECRET_NAME.search(words)) and not (words == "token" and "logprob" in siblings)


def _without_values(text: str, lower: str) -> str:
    """Text without what is assigned to the name of a secret."""
    if len(lower) != len(text):  # a letter whose small form is longer, as the dotted capital I
        lower = "".join(char.lower() if char.isascii() else char for char in text)
    parts, at = [], 0
    for head in HEAD.finditer(lower):
        if head.start() < at or not NAME.search(lower, max(0, head.start() - 16), head.end()):
            continue
        if value := VALUE.match(text, head.end()):
            opened, closed, escaped, single, single_closed = (found or "" for found in value.groups())
            parts += [text[at : head.end()], opened, escaped, single, REDACTED, closed, single_closed]
            at = value.end()
    return "".join([*parts, text[at:]])


def _key_rule(prefix: str, rest: str) -> Rule:
    """A key that begins no other way, and not within a word."""
    begin = re.escape(prefix)
    return Rule(re.compile(rf"{begin}(?<![A-Za-z0-9]{begin}){rest}", re.ASCII), REDACTED, (prefix.lower(),))


RULES = (
    Rule(PRIVATE_KEY, REDACTED, ("private key",)),
    Rule(URL_USER, f"{REDACTED}@", ("://",)),
    Rule(URL_PARAMETER, rf"\1{REDACTED}", ("?", "&")),
    Rule(COOKIE, rf"\1{REDACTED}", ("cookie",)),
    Rule(BEARER, rf"\1{REDACTED}", ("bearer", "basic")),
    *(_key_rule(prefix, rest) for prefix, rest in KEYS.items()),
)
