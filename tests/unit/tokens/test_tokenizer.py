"""Texts are measured with the model's encoding, or estimated near to it, and cut to a length in tokens."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.tokens import encodings, tokenizer
from genai_spine.tokens.tokenizer import Tokenizer, estimate
from tests.unit.tokens.samples import ENGLISH, SAMPLES


def exactly(name: str = "cl100k_base") -> Tokenizer:
    return Tokenizer(encodings.load(name))


ROUGHLY = Tokenizer(None)
BOTH = pytest.mark.parametrize("ruler", [exactly(), ROUGHLY], ids=["encoding", "estimate"])


@pytest.mark.parametrize("kind", SAMPLES)
def test_an_estimate_is_within_15_percent(kind: str) -> None:
    count = exactly("o200k_base").count(SAMPLES[kind])
    assert estimate(SAMPLES[kind]) == pytest.approx(count, rel=0.15)


def test_the_mean_error_of_estimates_is_as_the_module_says() -> None:
    counts = {kind: exactly("o200k_base").count(text) for kind, text in SAMPLES.items()}
    errors = [abs(estimate(SAMPLES[kind]) / count - 1) for kind, count in counts.items()]
    assert sum(errors) / len(errors) < 0.07


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("a", 1), (" ", 1), ("four", 1), ("日本語", 3), ("👍", 2)]
)
def test_a_short_text_has_at_least_one_token(text: str, count: int) -> None:
    assert estimate(text) == count


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_longer_text_never_has_fewer(text: str, more: str) -> None:
    assert estimate(text) <= estimate(text + more)
    assert (estimate(text) == 0) == (text == "")


@given(st.text(max_size=200))
def test_an_estimate_never_has_more_tokens_than_bytes(text: str) -> None:
    assert estimate(text) <= len(text.encode())
    assert exactly().count(text) <= len(text.encode())


RUNS = (
    "a",
    "aB",
    "0",
    "3.14159,",
    "-",
    "=",
    " ",
    "\n",
    "日",
    "のは",
    "한국",
    "é",
    "🙂",
    "─",
    "。",
    "и",
    "x = 1;\n",
)
LONG_WORDS = "international communication organization understanding responsibility development "


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_the_least_is_not_more_than_any_encoding_counts(name: str) -> None:
    texts = [*SAMPLES.values(), *(run * 1000 for run in RUNS), LONG_WORDS * 100]
    assert not [text[:40] for text in texts if ROUGHLY.lower_bound(text) > exactly(name).count(text)]


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_least_is_more_than_nothing(kind: str) -> None:
    assert ROUGHLY.lower_bound(SAMPLES[kind]) > 0.15 * estimate(SAMPLES[kind])


@pytest.mark.parametrize("run", RUNS)
def test_of_a_huge_text_the_least_is_not_more_than_its_count(
    run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exactly("o200k_base").count(run * 4000)
    monkeypatch.setattr(encodings, "MAX_PIECE_CHARS", 1000)
    assert exactly("o200k_base").lower_bound(run * 4000) <= whole


async def test_a_model_is_measured_by_its_encoding() -> None:
    assert (await Tokenizer.of("gpt-4")).name == "cl100k_base"
    assert (await Tokenizer.of("openai/gpt-4o")).count("tiktoken is great!") == 6
    assert (await Tokenizer.of("claude-sonnet-4-5")).name == "estimate"
    assert Tokenizer.if_loaded("gpt-4").name == "cl100k_base"


def test_who_cannot_wait_gets_no_encoding_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_loaded", {})
    started = threading.active_count()
    assert Tokenizer.if_loaded("gpt-4").name == "estimate"
    assert threading.active_count() == started


def test_the_beginning_of_a_huge_text_speaks_for_it_in_haste() -> None:
    text = ENGLISH * 400
    approximate = Tokenizer(encodings.load("o200k_base"), approximate=True)
    assert approximate.count(text) == pytest.approx(exactly("o200k_base").count(text), rel=0.01)
    assert len(text) > 3 * tokenizer.APPROXIMATE_CHARS


# --- Cutting


@BOTH
def test_a_text_that_fits_is_not_touched(ruler: Tokenizer) -> None:
    assert ruler.cut(ENGLISH, ruler.count(ENGLISH)) == ENGLISH
    assert ruler.cut("", 10) == ruler.cut("", 0) == ""


@BOTH
@given(text=st.text(max_size=200), limit=st.integers(-1, 60))
def test_a_cut_text_fits_with_its_suffix(ruler: Tokenizer, text: str, limit: int) -> None:
    cut = ruler.cut(text, limit)
    assert ruler.count(cut) <= max(0, limit)
    if cut != text:
        assert cut == "" or (cut.endswith("...") and text.startswith(cut.removesuffix("...")))


@given(st.sampled_from(sorted(SAMPLES)), st.integers(2, 100))
@settings(max_examples=60)
def test_as_much_as_fits_is_kept(kind: str, limit: int) -> None:
    ruler = exactly()
    text = SAMPLES[kind]
    kept = ruler.cut(text, limit)
    if kept != text:
        assert limit - 3 <= ruler.count(kept) <= limit


def test_a_suffix_is_part_of_the_limit() -> None:
    ruler = exactly()
    assert ruler.count("...") == 1
    assert ruler.cut("one two three four five", 3) == "one two..."
    assert ruler.cut("one two three four five", 1) == "..."
    assert ruler.cut("one two three four five", 0) == ""
    assert ruler.cut("one two three four five", 3, suffix="") == "one two three"
    assert ruler.cut("one two three", 1, suffix=" and so on") == ""


def test_no_character_is_cut_in_half() -> None:
    assert exactly().cut("👩‍🚀" * 20, 12).removesuffix("...").strip("👩\u200d🚀") == ""


@pytest.mark.parametrize("run", ["a", " ", "word "])
def test_a_megabyte_is_cut(run: str) -> None:
    cut = exactly().cut(run * (1 << 20), 100)
    assert 0 < exactly().count(cut) <= 100


@pytest.mark.parametrize("length", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_text_weighs_the_same_in_slices_of_any_length(
    kind: str, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SAMPLES[kind][:2000]
    whole, bound = estimate(text), ROUGHLY.lower_bound(text)
    monkeypatch.setattr(tokenizer, "SLICE_CHARS", length)
    assert (estimate(text), ROUGHLY.lower_bound(text)) == (whole, bound)
