"""Own patterns of callers: regular expressions of RE2, which are linear in the text whatever they say."""

import re
from collections.abc import Iterator, Mapping

import re2

from genai_spine.errors import InvalidFields
from genai_spine.privacy.spans import Span

CONFIDENCE = 0.9
TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")  # as in tokens, by which values come back
MAX_PATTERN_BYTES = 1 << 20  # of memory for one, compiled


class OwnPatterns:
    """Compiled patterns by the type of what they find. Raises InvalidFields, naming patterns[TYPE]."""

    def __init__(self, patterns: Mapping[str, str]) -> None:
        options = re2.Options()
        options.log_errors, options.max_mem = False, MAX_PATTERN_BYTES
        self._compiled, problems = {}, []
        for name, pattern in patterns.items():
            if not TYPE.fullmatch(name):
                problems.append((f"patterns[{name}]", "must have a type of A-Z, 0-9 and _, at most 64"))
                continue
            try:
                self._compiled[name] = re2.compile(pattern, options)
            except re2.error as error:
                why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
                problems.append((f"patterns[{name}]", f"must be a regular expression of RE2: {why}"))
        if problems:
            raise InvalidFields(problems)

    def find(self, text: str) -> Iterator[Span]:
        """Places of all matches that are not empty."""
        for name, pattern in self._compiled.items():
            for match in pattern.finditer(text):
                if match.end() > match.start():
                    yield Span(match.start(), match.end(), name, CONFIDENCE)
