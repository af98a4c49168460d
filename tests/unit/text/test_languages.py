import re

import pytest

from genai_spine.text.languages import LANGUAGES, TABLE, is_unknown_code, language


def test_there_are_the_183_languages_of_iso_639_1() -> None:
    assert len(LANGUAGES) == 183
    assert all(re.fullmatch("[a-z]{2}", code) for code in LANGUAGES)


def test_no_code_and_no_name_means_two_languages() -> None:
    lines = [line.partition(": ") for line in TABLE.strip().splitlines()]
    codes = [code for codes, _, _ in lines for code in codes.split()]
    names = [name.casefold() for _, _, names in lines for name in names.split("; ")]
    assert sorted(codes) == sorted(set(codes))
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_code_and_its_name_mean_the_language(code: str) -> None:
    assert language(code.upper()) == language(LANGUAGES[code].name) == LANGUAGES[code]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("pt_BR", "pt"),
        ("zh-Hant-TW", "zh"),
        ("cmn", "zh"),
        ("fil", "tl"),
        ("iw", "he"),
        ("Farsi", "fa"),
        ("  ‘english’ ".replace("‘", "'").replace("’", "'"), "en"),
        ("German (Germany)", "de"),
        ("Norwegian Bokmål", "nb"),
        ("Twi", "tw"),
    ],
)
def test_other_names_and_tags_mean_it_too(said: str, code: str) -> None:
    found = language(said)
    assert found is not None
    assert found.code == code


@pytest.mark.parametrize("said", ["", "xx", "und", "Klingon", "en de", "-", "12"])
def test_what_is_none_is_none(said: str) -> None:
    assert language(said) is None


def test_an_unknown_code_is_told_from_a_name() -> None:
    assert is_unknown_code("xx")
    assert is_unknown_code("xx-DE")
    assert not is_unknown_code("de")
    assert not is_unknown_code("Klingon")
    assert not is_unknown_code("haw")
