"""Patterns of PII on texts as they are written, and on hostile ones."""

import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genai_spine.privacy.checksums import is_card
from genai_spine.privacy.detection import detect
from genai_spine.privacy.patterns import FINDERS

FOUND = [
    ("EMAIL_ADDRESS", "Write to {}.", "ann.o'neil+x@mail.example.co.uk"),
    ("EMAIL_ADDRESS", "<{}>", "jörg@münchen.example"),
    ("EMAIL_ADDRESS", "{}, please", "a" * 80 + "@example.org"),
    ("CREDIT_CARD", "card {} 2026", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "12 {}", "5555-5555-5555-4444"),
    ("CREDIT_CARD", "amex {}.", "378282246310005"),
    ("CREDIT_CARD", "({})", "４１１１ １１１１ １１１１ １１１１"),  # full width
    ("CREDIT_CARD", "she said {}", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
    ("US_SSN", "SSN {};", "536-90-4399"),
    ("US_SSN", "my social security number is {}", "536904399"),
    ("IBAN_CODE", "IBAN {} PLEASE PAY", "DE89 3704 0044 0532 0130 00"),
    ("IBAN_CODE", "to {}.", "gb29nwbk60161331926819"),
    ("PHONE_NUMBER", "call {} now", "(415) 555-2671"),
    ("PHONE_NUMBER", "call {} ext 4", "+1-415-555-2671"),
    ("PHONE_NUMBER", "{} 2024", "415.555.2671"),
    ("PHONE_NUMBER", "Tel. {}", "+49 30 901820"),
    ("PHONE_NUMBER", "Tel. {}", "020 7946 0958"),
    ("PHONE_NUMBER", "Tél. {}", "06 12 34 56 78"),
    ("IP_ADDRESS", "from {}.", "192.168.1.20"),
    ("IP_ADDRESS", "from {}, twice", "fe80::1ff:fe23:4567:890a"),
    ("IP_ADDRESS", "from {}", "2001:db8::1"),
]
CLEAN = [
    *(
        "4111 1111 1111 1112",
        "0.4111111111111111",
        "411111111111111111111111",
    ),  # check digit, fraction, length
    *(
        "DE89370400440532013001",
        "000-12-3456",
        "666-12-3456",
        "912-12-3456",
        "536-00-4399",
        "536-90-0000",
    ),
    *(
        "256.1.1.1",
        "1.2.3",
        "12:30:45",
        "std::string",
        "a::b",
        "2024-01-02",
        "12/03/2024",
        "a@b",
        "@example.org",
    ),
    *("1700000000", "20.50", "Nothing of that.", ""),
]


@pytest.mark.parametrize(("kind", "text", "value"), FOUND)
def test_value_is_found_with_its_place(kind: str, text: str, value: str) -> None:
    whole = "é " + text.format(value)
    (span,) = detect(whole)
    assert (whole[span.start : span.end], span.type) == (value, kind)


@pytest.mark.parametrize("text", CLEAN)
def test_what_breaks_the_rules_is_not_found(text: str) -> None:
    assert detect(text) == []


def test_types_limit_what_is_found() -> None:
    text = "ann@example.org, 192.168.1.20"
    assert [span.type for span in detect(text, ["IP_ADDRESS"])] == ["IP_ADDRESS"]


@given(st.integers(0, 10**14 - 1))
@example(0)
def test_every_card_number_is_found_and_none_with_a_wrong_check_digit(middle: int) -> None:
    numbers = [f"4{middle:014}{check}" for check in range(10)]
    assert [detect(f"x {number} y", ["CREDIT_CARD"]) != [] for number in numbers] == list(
        map(is_card, numbers)
    )
    assert sum(map(is_card, numbers)) == 1


@given(st.text(alphabet="0149aD@.:+-() é\n", max_size=200))
def test_spans_are_in_order_within_the_text_and_apart(text: str) -> None:
    spans = detect(text)
    edges = [edge for span in spans for edge in (span.start, span.end)]
    assert edges == sorted(edges)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)


HOSTILE = [
    *("a", "@", "a@", "a@a.a.", "4", "4 ", "4444 ", "4111 1111 1111 1112 ", "415-415-415", "0", "01 ", "(0"),
    *(
        "+1",
        "+1(((2",
        "DE89 ",
        "DE89 3704 0044 0532 0130 ",
        ":",
        "ff:ff:f ",
        "1.1.1.1 ",
        "social security ",
        " ",
    ),
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * (characters // len(unit) + 1))[:characters]
        start = time.process_time()
        detect(text)
        return time.process_time() - start

    # What is quadratic takes 16 times as long for four times as much.
    assert min(seconds(200_000) for _ in range(2)) < 8 * max(min(seconds(50_000) for _ in range(3)), 0.002)


def test_one_type_in_a_long_random_text_is_found_where_it_stands() -> None:
    dice = random.Random(7)
    words = [dice.choice(["late", "box", "call", "3", "Oslo,"]) for _ in range(20_000)]
    words[12_345] = "ann@example.org"
    text = " ".join(words)
    (span,) = detect(text)
    assert text[span.start : span.end] == "ann@example.org"


def test_every_type_has_an_example() -> None:
    assert {kind for kind, _, _ in FOUND} == set(FINDERS)


@pytest.mark.parametrize("mark", [*"/|='{}#&*+?!$%^`~-._", " ", ",", ";", "<", ">"])
def test_address_that_follows_another_is_found_whatever_stands_between(mark: str) -> None:
    text = f"ann@example.org{mark}bob@example.com{mark}cid@example.net"
    hidden = text
    for span in reversed(detect(text)):
        hidden = hidden[: span.start] + hidden[span.end :]
    assert [name for name in ("ann", "bob", "cid") if name in hidden] == []
