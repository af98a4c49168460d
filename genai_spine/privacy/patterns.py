"""Patterns of entities: one function each, which finds candidates and keeps those that their rules allow.

All are linear in the length of the text, whatever it holds: a pattern begins where no other match of it can
have begun, its repetitions are bounded or possessive, and what it finds is checked in bounded time.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping

from genai_spine.privacy.checksums import IBAN_LENGTHS, is_card, is_iban, is_social_security
from genai_spine.privacy.spans import Span

EMAIL_ADDRESS, PHONE_NUMBER, CREDIT_CARD = "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD"
US_SSN, IBAN_CODE, IP_ADDRESS = "US_SSN", "IBAN_CODE", "IP_ADDRESS"

CHECKED, SHAPED, LIKELY = 1.0, 0.95, 0.7  # confidence: a checksum holds, the form is unmistakable, it may be

MAX_CARD_DIGITS, MIN_CARD_DIGITS, MIN_CARD_GROUP = 19, 13, 4
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 8, 15  # of an international number, E.164

# Spaces and dashes that are written between digits, typographic ones among them.
GAP = r"[ \u00a0\u2009\u202f\-\u2010-\u2015]"
LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"

ADDRESS = rf"{LOCAL}++@(?:[\w-]{{1,63}}+\.){{1,10}}[^\W\d_][\w-]{{1,62}}+"
EMAIL, FOLLOWING_EMAIL = re.compile(rf"(?<!{LOCAL}){ADDRESS}"), re.compile(ADDRESS)
DIGIT_RUN = re.compile(rf"(?<!\w)(?<!\d[.,])\d++(?:{GAP}?+\d++)*+(?!\w)")
DIGITS = re.compile(r"\d+")
SSN = re.compile(r"(?<![\w-])(\d{3})([ \-\u2010-\u2015])(\d{2})\2(\d{4})(?![\w]|-\d)")
NAMED_SSN = re.compile(
    r"\b(?:ssn|social security(?: number| no\.?)?)\b[^\w\n]{0,10}(?:is |was )?(\d{9})(?!\w)", re.IGNORECASE
)
IBAN_START = re.compile(r"(?<!\w)[A-Za-z]{2}[0-9]{2}(?=[ -]?[A-Za-z0-9])")
IBAN_REST = re.compile(r"(?:[ -]?[A-Za-z0-9]){11,29}+")
IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)", re.ASCII)
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}+:){2,7}+[0-9a-f]{0,4}+(?:\.\d{1,3}){0,3}+(?![\w:])", re.I)
NORTH_AMERICAN = re.compile(
    rf"(?<![\w+])(?<!\d[.-])(?:\+?1(?:{GAP}|\.)?+)?\(?[2-9]\d{{2}}\)?(?:{GAP}|\.)?+"
    rf"[2-9]\d{{2}}(?:{GAP}|\.)?+\d{{4}}(?!\w)"
)
INTERNATIONAL = re.compile(rf"(?<![\w+])(?:\+|00)[1-9](?:(?:{GAP}|[.()/]){{0,3}}+\d){{6,16}}+(?!\w)")
# As dialled within a country: a trunk 0, an area, and a subscriber in one or several groups.
NATIONAL = re.compile(
    rf"(?<![\w.,+-])\(?0[1-9]\d{{0,4}}\)?(?:{GAP}|/){{1,3}}+\d{{2,8}}(?:{GAP}\d{{2,6}}){{0,5}}+(?!\w)"
)

NO_DIGITS = {code: None for code in range(128) if not chr(code).isdigit()}

Finder = Callable[[str], Iterator[Span]]


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses, of any script, also where one follows another: `ann@a.example|bob@b.example`."""
    at = 0 if "@" in text else len(text)
    while match := EMAIL.search(text, at):
        while match:
            yield Span(match.start(), match.end(), EMAIL_ADDRESS, SHAPED)
            at = match.end()
            match = FOLLOWING_EMAIL.match(text, at)


def cards(text: str) -> Iterator[Span]:
    """Payment card numbers, also with other numbers before and behind them."""
    for run in DIGIT_RUN.finditer(text):
        if run.end() - run.start() < MIN_CARD_DIGITS:
            continue
        groups = [(match.start(), match.end()) for match in DIGITS.finditer(text, *run.span())]
        yield from _cards(text, groups)


def _cards(text: str, groups: list[tuple[int, int]]) -> Iterator[Span]:
    """Card numbers of whole groups of digits: from a group of four or more, or single digits, all of them."""
    total = sum(end - start for start, end in groups)
    next_start = 0
    for first, (start, end) in enumerate(groups):
        is_whole = first == 0 and total <= MAX_CARD_DIGITS
        if start < next_start or (end - start < MIN_CARD_GROUP and not is_whole):
            continue
        stops, length = [], 0
        for at in range(first, len(groups)):
            length += groups[at][1] - groups[at][0]
            if length > MAX_CARD_DIGITS:
                break
            if length >= MIN_CARD_DIGITS:
                stops.append(groups[at][1])
        for stop in reversed(stops):
            if is_card(_ascii_digits(text[start:stop])):
                yield Span(start, stop, CREDIT_CARD, CHECKED)
                next_start = stop
                break


def social_security_numbers(text: str) -> Iterator[Span]:
    """US social security numbers: with dashes or spaces, or nine digits behind their name."""
    for match in SSN.finditer(text):
        if is_social_security(_ascii_digits(match[0])):
            yield Span(match.start(), match.end(), US_SSN, SHAPED)
    for match in NAMED_SSN.finditer(text):
        yield Span(match.start(1), match.end(1), US_SSN, SHAPED)


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers, in one or in groups, capitals or not."""
    for match in IBAN_START.finditer(text):
        length = IBAN_LENGTHS.get(match[0][:2].upper(), 0)
        rest = IBAN_REST.match(text, match.end()) if length else None
        if rest is None:
            continue
        plain = _ungrouped(text[match.start() : rest.end()])
        if not is_iban(plain[:length]):
            continue
        end, seen = match.start(), 0
        while seen < length:
            seen += text[end] not in " -"
            end += 1
        if not text[end : end + 1].isalnum():
            yield Span(match.start(), end, IBAN_CODE, CHECKED)


def ip_addresses(text: str) -> Iterator[Span]:
    """IP addresses. Of version 6 those with a digit, for `a::b` is a name in C++ and Rust."""
    for match in IPV4.finditer(text):
        if _is_address(match[0]):
            yield Span(match.start(), match.end(), IP_ADDRESS, SHAPED)
    if ":" not in text:
        return
    for match in IPV6.finditer(text):
        if any(map(str.isdigit, match[0])) and len(match[0]) > 3 and _is_address(match[0]):
            yield Span(match.start(), match.end(), IP_ADDRESS, SHAPED)


def phone_numbers(text: str) -> Iterator[Span]:
    """Phone numbers: international, North American, and with a trunk 0."""
    for match in INTERNATIONAL.finditer(text):
        if MIN_PHONE_DIGITS <= len(_ascii_digits(match[0])) <= MAX_PHONE_DIGITS + 2:
            yield Span(match.start(), match.end(), PHONE_NUMBER, SHAPED)
    for match in NORTH_AMERICAN.finditer(text):
        yield Span(match.start(), match.end(), PHONE_NUMBER, LIKELY)
    for match in NATIONAL.finditer(text):
        if MIN_PHONE_DIGITS < len(_ascii_digits(match[0])) <= MAX_PHONE_DIGITS:
            yield Span(match.start(), match.end(), PHONE_NUMBER, LIKELY)


def _ascii_digits(text: str) -> str:
    """Digits of a text, those of other scripts as 0 to 9."""
    if text.isascii():
        return text.translate(NO_DIGITS)
    return "".join(str(int(char)) for char in text if char.isdecimal())


def _ungrouped(text: str) -> str:
    return text.replace(" ", "").replace("-", "")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


FINDERS: Mapping[str, Finder] = {
    EMAIL_ADDRESS: emails,
    PHONE_NUMBER: phone_numbers,
    CREDIT_CARD: cards,
    US_SSN: social_security_numbers,
    IBAN_CODE: ibans,
    IP_ADDRESS: ip_addresses,
}
