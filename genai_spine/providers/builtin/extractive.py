"""Extractive text analysis without a model: tokens, sentences, keywords, ranking, and hashed vectors.

The same text always gives the same result, in every process. Keywords are YAKE's (github.com/INESCTEC/yake),
sentence ends segtok's (github.com/fnl/segtok); both bring their word lists with them and use no network.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import blake2b
from importlib.util import find_spec
from itertools import islice
from math import log, sqrt
from pathlib import Path
from unicodedata import normalize

KEYWORDS = 30
KEYWORD_CHARS = 20_000  # what YAKE is given of a longer text: every n-th sentence
SENTENCE_CHARS = 1_000  # longer ones are cut
BLOCK_CHARS = 4_000  # what segtok is given at once; its time can grow with the square
LANGUAGE_WORDS = 500  # that tell the language
STOPWORD_WEIGHT = 0.1  # of a stopword or a mark in a vector; other words have 1

# One token: a character of a script without spaces, up to 32 characters of a word, or another mark.
_DENSE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_DENSE}]|(?:(?![{_DENSE}])\w){{1,32}}|[^\w\s]")
_DENSE_CHAR = re.compile(f"[{_DENSE}]")
_WORD = re.compile(r"[^\W_](?:[\w'’-]{0,40}\w)?")
_RUN = re.compile(r"\w{1,40}|[^\w\s]")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_GAP = re.compile(r"\s+")
_BLOCK_END = re.compile(r"[.!?。！？]\s+|\n")
# Written so that their time does not grow with the square of a run of the same character.
_DENSE_STOP = re.compile(r"(?<![。！？])([。！？]++[」』”）]*+)(?=\S)")
_LIST_ITEM = re.compile(r"\n(?=[ \t]*+(?:[-*•#|>]|\d{1,4}[.)]\s))")
_NO_STATEMENT = (":", "?", "：", "？", "؟")

# YAKE logs the beginning of a text that it fails on; texts do not belong in logs.
logging.getLogger("yake").setLevel(logging.CRITICAL)


def count_tokens(text: str) -> int:
    """Number of tokens, as defined above: words, marks, and characters of dense scripts."""
    # A pattern that crosses a long gap holds the interpreter, and with it the event loop, all the way.
    return sum(1 for _ in _TOKEN.finditer(" ".join(text.split())))


def first_tokens(text: str, count: int) -> str:
    """The text up to its count-th token."""
    ends = [token.end() for token in islice(_TOKEN.finditer(text), count)]
    return text[: ends[-1]] if ends else ""


def token_chunks(text: str, count: int) -> Iterator[str]:
    """Text cut into chunks of count tokens; together they are the text."""
    start = 0
    for number, token in enumerate(_TOKEN.finditer(text), 1):
        if number % count == 0:
            yield text[start : token.end()]
            start = token.end()
    if start < len(text):
        yield text[start:]


def sentences(text: str) -> list[str]:
    """The sentences that have a word, in order, word for word; white space is made single spaces.

    Fenced code is left out, except where there is nothing else.
    """
    prose = _FENCED.sub("\n\n", text)
    text = prose if _WORD.search(prose) else text
    from segtok.segmenter import split_multi  # here: few servers need it, and none at its start

    found_sentences: list[str] = []
    for block in _blocks(_LIST_ITEM.sub("\n\n", _DENSE_STOP.sub("\\1\n\n", text))):
        for sentence in split_multi(block):
            found_sentences += filter(_WORD.search, _cut(_GAP.sub(" ", sentence).strip()))
    return found_sentences


def joined(chosen: Iterable[str]) -> str:
    """The sentences as one text, with spaces between them where their script has spaces."""
    return " ".join(chosen).replace("。 ", "。")


def _blocks(text: str) -> Iterator[str]:
    """The text in stretches of at most BLOCK_CHARS, if possible cut at the end of a sentence."""
    start = 0
    while start < len(text):
        end = start + BLOCK_CHARS
        if end < len(text):
            stops = list(_BLOCK_END.finditer(text, end - SENTENCE_CHARS, end))
            end = stops[-1].end() if stops else end
        yield text[start:end]
        start = end


def _cut(sentence: str) -> Iterator[str]:
    while len(sentence) > SENTENCE_CHARS:
        space = sentence.rfind(" ", SENTENCE_CHARS // 2, SENTENCE_CHARS)
        end = space if space > 0 else SENTENCE_CHARS
        yield sentence[:end]
        sentence = sentence[end:].lstrip()
    yield sentence


def keywords(in_text: Sequence[str]) -> list[str]:
    """Key phrases of the sentences, the most telling first; none in scripts without spaces."""
    import yake  # here: it brings numpy and networkx, an eighth of what a server imports

    step = 1 + sum(map(len, in_text)) // KEYWORD_CHARS
    words = [_WORD.findall(sentence) for sentence in in_text[::step]]
    words = [sentence for sentence in words if sentence]
    text = " ".join(" ".join(sentence) + "." for sentence in words)
    language = _language([word for sentence in words for word in sentence][:LANGUAGE_WORDS])
    extractor = yake.KeywordExtractor(lan=language, top=KEYWORDS, stopwords=_stopwords()[language])
    return [phrase for phrase, _ in extractor.extract_keywords(text) if not _DENSE_CHAR.search(phrase)]


def distinct(phrases: Iterable[str]) -> Iterator[str]:
    """Phrases of which at least half of the words were not in the ones before."""
    known: set[str] = set()
    for phrase in phrases:
        words = set(phrase.lower().split())
        if 2 * len(words - known) >= len(words):
            known |= words
            yield phrase


def _language(words: Sequence[str]) -> str:
    """The language whose stopwords are met most often; English when none is ahead of it."""
    counts = Counter(word.lower() for word in words)
    lists = _stopwords()
    return max(
        lists, key=lambda name: (sum(counts[word] for word in counts.keys() & lists[name]), name == "en")
    )


@cache
def _stopwords() -> dict[str, frozenset[str]]:
    """YAKE's stopwords by language; its files are UTF-8 with a few in Latin-1."""
    package = find_spec("yake")
    assert package is not None
    assert package.origin is not None
    lists = {}
    for path in sorted((Path(package.origin).parent / "core" / "StopwordsList").glob("stopwords_??.txt")):
        raw = path.read_bytes()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        lists[path.stem.removeprefix("stopwords_")] = frozenset(text.lower().split())
    return lists


def ranked(in_text: Sequence[str], phrases: Sequence[str]) -> list[int]:
    """Indexes of the sentences that state something, the most telling first.

    A sentence counts for the key phrases in it, good and frequent ones more, against its length. The
    first sentences count a little more, lines that do not end like a sentence half. Questions and
    announcements ("The facts are:") come only when there is nothing else; of equal ones the first counts.
    """
    lines = [f" {' '.join(_WORD.findall(sentence.lower()))} " for sentence in in_text]
    weights = [0.1] * len(in_text)
    for place, phrase in enumerate(phrases, 1):
        phrase_words = f" {' '.join(_WORD.findall(phrase.lower()))} "
        holders = [index for index, line in enumerate(lines) if phrase_words in line]
        for index in holders:
            weights[index] += log(1 + len(holders)) / sqrt(place)

    def score(index: int) -> float:
        shape = 0.5 if in_text[index][-1].isalnum() else 1.0
        return shape * weights[index] / sqrt(max(lines[index].count(" "), 8)) * (1 + 0.3 / (1 + index))

    first = {sentence: index for index, sentence in reversed(list(enumerate(in_text)))}
    statements = [index for sentence, index in first.items() if not sentence.endswith(_NO_STATEMENT)]
    return sorted(statements or first.values(), key=lambda index: (-score(index), index))


def vector(text: str, dimensions: int) -> list[float]:
    """Hashed bag of words and of the words' three-letter parts; length 1.

    Signed feature hashing (Weinberger et al. 2009, arxiv.org/abs/0902.2206) with BLAKE2b.
    """
    runs = Counter(_RUN.findall(normalize("NFKC", text).casefold()))
    common = _stopwords()[_language(list(islice(runs.elements(), LANGUAGE_WORDS)))]
    values = [0.0] * dimensions
    for run, count in runs.items():
        is_plain = run in common or not run[0].isalnum()
        weight = (1 + log(count)) * (STOPWORD_WEIGHT if is_plain else 1.0)
        _add(values, run, weight)
        padded = f"<{run}>"
        trigrams = [padded[i : i + 3] for i in range(len(padded) - 2)]
        for trigram in trigrams:
            _add(values, trigram, weight / sqrt(len(trigrams)))
    length = sqrt(sum(value * value for value in values))
    if length == 0:
        return [1.0] + [0.0] * (dimensions - 1)  # an empty text, or features that cancel out
    return [value / length for value in values]


def _add(values: list[float], feature: str, weight: float) -> None:
    number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "big")
    values[(number >> 1) % len(values)] += weight if number & 1 else -weight
