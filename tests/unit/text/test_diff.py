import time

from hypothesis import given
from hypothesis import strategies as st

from genai_spine.text.diff import changes

texts = st.text(st.sampled_from("ab .\n🚋é"), max_size=60)


def bare(text: str) -> str:
    return "".join(text.split())


@given(texts, texts)
def test_changes_lead_from_the_old_text_to_the_new_one(old: str, new: str) -> None:
    made, at = "", 0
    for change in changes(old, new):
        assert at <= change.start <= change.end
        assert old[change.start : change.end] == change.old
        made += old[at : change.start] + change.new
        at = change.end
    assert bare(made + old[at:]) == bare(new)


@given(texts)
def test_equal_texts_have_no_changes(text: str) -> None:
    assert changes(text, text) == []


def test_single_words_are_found_in_long_texts() -> None:
    old = "".join(f"Sentence {number} is here. " for number in range(2_000))
    new = old.replace("Sentence 7 is", "Sentence 7 was").replace("1500 is here", "1500 was here")
    assert [(change.old, change.new) for change in changes(old, new)] == [("is", "was"), ("is", "was")]


def test_texts_that_have_nothing_in_common_take_bounded_time() -> None:
    start = time.process_time()
    found = changes("a b " * 50_000, "c d " * 50_000)
    assert len(found) == 1
    assert time.process_time() - start < 5
