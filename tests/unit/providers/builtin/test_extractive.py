"""What is computed from a text alone: tokens, sentences, keywords, the most telling sentences, vectors."""

import json
import math
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.providers.builtin import extractive

ARTICLE = (
    "The James Webb Space Telescope launched in December 2021 from French Guiana. It carries a mirror of 6.5 "
    "metres made of gold-coated beryllium. The weather that morning was warm. Astronomers use the telescope "
    "to observe the first galaxies in infrared light. A sunshield keeps the instruments of the telescope "
    "cold. Did many people watch the launch? The telescope orbits the second Lagrange point."
)
GERMAN = (
    "Der Bundestag hat gestern ein neues Gesetz über die Renten beschlossen. Das Gesetz gilt ab Januar. "
    "Die Opposition hat gegen das Gesetz gestimmt."
)

# Texts that are hard on regular expressions, splitters or statistics; each in a short and a long form.
ODD = {
    "empty": "",
    "white space": " \n\t",
    "emoji": "😀👩‍👩‍👧",
    "marks": "!?.,",
    "one word": "a",
    "new lines": "\n",
    "lines": "a\n",
    "bullets": "\n - ",
    "brackets": "(a. ",
    "quotes": "a' ",
    "Chinese": "东京是日本的首都。",
    "Chinese full stops": "。",
    "Arabic": "القاهرة هي عاصمة مصر. ",
    "combining": "a\u0301",
    "null": "\0",
    "fences": "```",
    "abbreviations": "e.g. ",
    "links": "http://",
    "numbers": "1 ",
}


@pytest.mark.parametrize("times", [1, 3, 5_000])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_text_is_read_without_error(text: str, times: int) -> None:
    text = text * times
    found = extractive.sentences(text)
    phrases = extractive.keywords(found)
    assert set(extractive.ranked(found, phrases)) <= set(range(len(found)))
    assert "".join(extractive.token_chunks(text, 5)) == text
    assert math.isclose(math.hypot(*extractive.vector(text, 16)), 1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(text=st.text(max_size=300))
def test_any_text_keeps_its_words(text: str) -> None:
    assert "".join(extractive.token_chunks(text, 3)) == text
    assert extractive.first_tokens(text, 10**6).split() == text.split()
    found = extractive.sentences(text)
    extractive.ranked(found, extractive.keywords(found))
    squeezed = "".join(text.split())
    assert all("".join(sentence.split()) in squeezed for sentence in found if "```" not in text)


def test_tokens_are_words_marks_and_dense_characters() -> None:
    assert extractive.count_tokens("Hello, world 42!") == 5
    assert extractive.count_tokens("東京都") == 3
    assert extractive.count_tokens("x" * 64) == 2
    assert extractive.count_tokens(" \n") == 0


def test_first_tokens_end_with_a_whole_token() -> None:
    assert extractive.first_tokens("Hello, wide world", 3) == "Hello, wide"
    assert extractive.first_tokens("Hello", 3) == "Hello"


def test_sentences_are_those_of_the_text() -> None:
    text = "Dr. Smith paid 3.50 euros. He left!\nThen\nhe slept.\n\n# Title\n- first\n- second"
    assert extractive.sentences(text) == [
        "Dr. Smith paid 3.50 euros.",
        "He left!",
        "Then he slept.",
        "# Title",
        "- first",
        "- second",
    ]


def test_sentences_without_spaces_between_them_are_told_apart() -> None:
    assert extractive.sentences("東京は首都です。人口は多い！「本当？」と聞いた。") == [
        "東京は首都です。",
        "人口は多い！",
        "「本当？」",
        "と聞いた。",
    ]
    assert extractive.joined(["東京は首都です。", "人口は多い。"]) == "東京は首都です。人口は多い。"
    assert extractive.joined(["One.", "Two."]) == "One. Two."


def test_fenced_code_is_left_out_unless_it_is_all_there_is() -> None:
    assert extractive.sentences("Look here.\n```py\nprint('x')\n```\nDone.") == ["Look here.", "Done."]
    assert extractive.sentences("```py\nprint('x')\n```") != []


def test_long_text_is_cut_between_sentences() -> None:
    sentence = "This sentence of nine words is told many times."
    assert set(extractive.sentences(f"{sentence} " * 2_000)) == {sentence}


def test_endless_sentence_is_cut() -> None:
    found = extractive.sentences("word " * 1_000)
    assert max(map(len, found)) <= extractive.SENTENCE_CHARS
    assert " ".join(found).split() == ["word"] * 1_000


def test_keywords_are_phrases_of_the_text() -> None:
    phrases = extractive.keywords(extractive.sentences(ARTICLE))
    assert phrases[0] == "James Webb Space"
    assert all(phrase in ARTICLE for phrase in phrases)


def test_stopwords_of_the_text_s_language_are_no_keywords() -> None:
    words = {word for phrase in extractive.keywords(extractive.sentences(GERMAN)) for word in phrase.split()}
    assert {"Gesetz", "Renten", "Bundestag"} <= words
    assert not words & {"Der", "die", "Die", "über", "Das"}


def test_distinct_phrases_bring_new_words() -> None:
    phrases = ["James Webb", "Webb", "webb space telescope", "space telescope", "James"]
    assert list(extractive.distinct(phrases)) == ["James Webb", "webb space telescope"]


def test_telling_sentences_come_before_remarks_and_no_questions() -> None:
    found = extractive.sentences(ARTICLE)
    order = extractive.ranked(found, ["telescope", "galaxies", "infrared light"])
    assert found[order[0]].startswith("Astronomers use the telescope to observe the first galaxies")
    assert not any(found[index].endswith("?") for index in order)


def test_repeated_sentence_counts_once() -> None:
    assert sorted(extractive.ranked(["One thing.", "Other thing.", "One thing."], ["thing"])) == [0, 1]


def test_questions_are_ranked_when_there_is_nothing_else() -> None:
    assert extractive.ranked(["Who?", "What?"], []) == [0, 1]


def likeness(left: str, right: str) -> float:
    pairs = zip(extractive.vector(left, 256), extractive.vector(right, 256), strict=True)
    return sum(a * b for a, b in pairs)


@pytest.mark.parametrize(
    ("text", "near", "far"),
    [
        ("The cat sat on the mat", "A cat is sitting on a mat", "Interest rates rose again in March"),
        ("database connection timeout", "connections to the databases time out", "recipe for apple pie"),
        ("color of the organization", "colour of the organisation", "speed of the vehicle"),
        ("東京は日本の首都です", "日本の首都は東京", "猫が好きです"),
    ],
)
def test_similar_texts_have_nearer_vectors_than_unrelated_ones(text: str, near: str, far: str) -> None:
    assert likeness(text, near) > likeness(text, far) + 0.1


def test_composed_and_decomposed_letters_have_the_same_vector() -> None:
    assert extractive.vector("caf\u00e9", 32) == extractive.vector("cafe\u0301", 32)


def test_vectors_have_the_asked_length() -> None:
    assert [len(extractive.vector("a b", dimensions)) for dimensions in (1, 3, 4096)] == [1, 3, 4096]


ALONE = """
import json, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from genai_spine.providers.builtin import extractive
text = sys.stdin.read()
found = extractive.sentences(text)
phrases = extractive.keywords(found)
print(json.dumps([found, phrases, extractive.ranked(found, phrases), extractive.vector(text, 8)]))
"""


def test_result_is_the_same_in_every_process_without_network() -> None:
    found = extractive.sentences(ARTICLE)
    phrases = extractive.keywords(found)
    here = [found, phrases, extractive.ranked(found, phrases), extractive.vector(ARTICLE, 8)]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", ALONE]
        there = subprocess.run(
            command, input=ARTICLE, env=environment, capture_output=True, text=True, check=True
        )
        assert json.loads(there.stdout) == here
