"""The prompt has its parts in their order, says what it must, and never has more tokens than allowed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.symbols.prompt import SYSTEM, built, count_frame, count_messages
from genai_spine.tokens import counts, encodings
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2
from genai_spine.v1 import symbol_service_pb2 as pb

MEASURE = Tokenizer(encodings.load("cl100k_base"))


def context(**fields: Any) -> pb.SymbolContext:
    given = {"symbol_id": "s", "name": "parse", "kind": "function", "language": "python"}
    given |= {"file_path": "src/a.py", "signature": "def parse(text: str) -> Tree"}
    return pb.SymbolContext(**{**given, "centrality": 0.5, **fields})


def lines(limit: int = 2000, **fields: Any) -> list[str]:
    return built(context(**fields), limit, MEASURE).text.split("\n")


def line(label: str, found: list[str]) -> str:
    (one,) = [text for text in found if text.startswith(label)]
    return one.removeprefix(label)


def labels(found: list[str]) -> list[str]:
    return [text.partition(": ")[0] for text in found[1:-1] if text]


def test_parts_stand_in_their_order() -> None:
    found = lines(
        calls=["a"], called_by=["b"], cluster_label="parsing", imports=["os"], related_symbols=["x"]
    )
    assert "python" in found[0]
    assert (found[1], found[-2]) == ("", "")
    assert labels(found) == [
        *("Symbol", "Kind", "File", "Signature", "Calls", "Called by", "Related to", "Importance")
    ]
    assert line("Symbol: ", found) == "parse"
    assert line("Kind: ", found) == "function"
    assert line("File: ", found) == "src/a.py"
    assert line("Signature: ", found) == "def parse(text: str) -> Tree"
    assert line("Related to: ", found) == "parsing"
    assert "one or two sentences" in found[-1]


def test_parts_without_content_are_left_out() -> None:
    assert labels(lines()) == ["Symbol", "Kind", "File", "Signature", "Importance"]


def test_imports_and_related_symbols_are_not_in_the_prompt() -> None:
    assert lines() == lines(imports=["os"] * 50, related_symbols=["x"] * 50)


@pytest.mark.parametrize(("centrality", "said"), [(0.0, "0.00"), (0.876, "0.88"), (1.0, "1.00")])
def test_importance_has_two_decimals_and_its_scale(centrality: float, said: str) -> None:
    found = line("Importance: ", lines(centrality=centrality))
    assert found.startswith(said)
    assert found.endswith("from 0 to 1)")


def test_ten_of_twelve_calls_are_in_the_prompt() -> None:
    twelve = [f"call{number}" for number in range(12)]
    found = lines(calls=twelve, called_by=twelve)
    assert line("Calls: ", found).split(", ") == twelve[:10]
    assert line("Called by: ", found).split(", ") == twelve[:10]


def test_over_the_limit_there_are_five_and_the_signature_is_cut() -> None:
    twelve = [f"call{number}" for number in range(12)]
    asked = context(calls=twelve, called_by=twelve, signature="def f(" + "argument: int, " * 400 + ")")
    prompt = built(asked, 500, MEASURE)
    found = prompt.text.split("\n")
    assert prompt.was_cut
    assert line("Calls: ", found).split(", ") == twelve[:5]
    assert line("Called by: ", found).split(", ") == twelve[:5]
    assert line("Importance: ", found) == "0.50"
    assert line("Signature: ", found).startswith("def f(argument: int")
    assert line("Signature: ", found).endswith("...")
    assert 500 - 20 <= prompt.tokens <= 500  # it is used up, but for the slack
    assert prompt.tokens == MEASURE.count(prompt.text)


def test_signature_is_dots_where_no_room_is_left_for_it() -> None:
    found = lines(limit=100, signature="def f(x)" * 100, file_path="/".join(["folder"] * 20))
    assert line("Signature: ", found) == "..."


def test_list_entries_are_dropped_until_it_fits() -> None:
    long = [f"name_{number}_" * 12 for number in range(10)]
    prompt = built(context(calls=long, called_by=["a", "b"]), 200, MEASURE)
    found = prompt.text.split("\n")
    assert prompt.tokens <= 200
    kept = line("Calls: ", found).split(", ")
    assert 0 < len(kept) < 5
    assert kept == long[: len(kept)]


def test_values_stay_in_their_line() -> None:
    found = lines(name="a\nKind: b", signature="def f(\n    x,\r\n    y,\n)", calls=["p\nq"])
    assert line("Symbol: ", found) == "a Kind: b"
    assert line("Signature: ", found) == "def f( x, y, )"
    assert line("Calls: ", found) == "p q"


def test_empty_signature_stays_empty() -> None:
    assert "Signature: " in lines(signature="")
    assert "Signature: " in lines(limit=100, signature="", calls=["x" * 40] * 10)


def test_two_messages_and_the_first_sets_the_role() -> None:
    system, user = built(context(), 2000, MEASURE).messages
    assert (system.role, user.role) == (message_pb2.ROLE_SYSTEM, message_pb2.ROLE_USER)
    assert system.content[0].text == SYSTEM
    assert "documentation" in SYSTEM


NAMES = st.one_of(st.text(max_size=400), st.text(alphabet="aé日👍 \n", max_size=3000))
LISTS = st.lists(NAMES, max_size=15)


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        context,
        name=NAMES,
        kind=NAMES,
        language=NAMES,
        file_path=NAMES,
        signature=NAMES,
        calls=LISTS,
        called_by=LISTS,
        cluster_label=NAMES,
        centrality=st.floats(0, 1),
    ),
    st.sampled_from([100, 150, 500, 2000]),
)
def test_a_prompt_never_exceeds_its_limit(asked: pb.SymbolContext, limit: int) -> None:
    prompt = built(asked, limit, MEASURE)
    assert prompt.tokens == MEASURE.count(prompt.text) <= limit
    whole = built(asked, 10**9, MEASURE)
    assert prompt.was_cut == (whole.tokens > limit)
    found = prompt.text.split("\n")
    order = ["Symbol", "Kind", "File", "Signature", "Calls", "Called by", "Related to", "Importance"]
    here = [text.partition(":")[0] for text in found[2:-2]]
    assert here == [label for label in order if label in here]
    assert "one or two sentences" in found[-1]


@pytest.mark.parametrize("unit", ["x", "x ", "日本", "\n", "_", "👍"])
@pytest.mark.parametrize("field", ["name", "file_path", "language", "cluster_label", "signature", "calls"])
def test_an_absurdly_long_value_fits_into_500(field: str, unit: str) -> None:
    value = unit * 30_000
    prompt = built(context(**{field: [value] * 10 if field == "calls" else value}), 500, MEASURE)
    assert MEASURE.count(prompt.text) <= 500
    assert "one or two sentences" in prompt.text


class TestMessages:
    def test_each_counts_three_its_values_and_one_more_for_a_name(self) -> None:
        count = MEASURE.count
        assert count_messages([], MEASURE) == 3
        one = {"role": "user", "content": "Hello there"}
        assert count_messages([one], MEASURE) == 3 + 3 + count("user") + count("Hello there")
        named = count_messages([{**one, "name": "Ada"}], MEASURE)
        assert named == count_messages([one], MEASURE) + count("Ada") + 1

    def test_empty_text_is_no_token(self) -> None:
        assert count_messages([{"role": "", "content": ""}], MEASURE) == 3 + 3

    @given(st.lists(st.text(max_size=50), max_size=5))
    def test_it_is_how_requests_are_counted(self, texts: list[str]) -> None:
        request = completions.CreateCompletionRequest(model="gpt-4")
        for text in texts:
            request.messages.add(role=message_pb2.ROLE_USER).content.add(text=text)
        said = [{"role": "user", "content": text} for text in texts]
        assert counts.tally(request, MEASURE).tokens == count_messages(said, MEASURE)

    def test_a_prompt_and_its_frame_are_a_whole_input(self) -> None:
        prompt = built(context(), 2000, MEASURE)
        said = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt.text}]
        assert count_frame(MEASURE) + prompt.tokens == count_messages(said, MEASURE)
