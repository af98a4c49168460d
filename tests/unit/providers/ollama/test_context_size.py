"""Contexts of Ollama's models: no input is cut silently, and a model is not loaded again for nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from genai_spine.call import Call
from genai_spine.chunks import fold
from genai_spine.errors import ContextLengthExceeded
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.providers.ollama import context_size
from genai_spine.providers.ollama.adapter import Ollama
from genai_spine.providers.ollama.context_size import needed_tokens
from genai_spine.providers.ollama.wire_types import ModelDetails
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.direct import direct
from tests.upstreams.ollama import TRAINED, OllamaUpstream
from tests.upstreams.reply import Reply

LLAMA = "llama3.2:latest"


@pytest.fixture
async def up() -> AsyncIterator[OllamaUpstream]:
    async with OllamaUpstream() as upstream:
        yield upstream


@pytest.fixture
async def ollama(up: OllamaUpstream) -> AsyncIterator[Ollama]:
    made = at(up.url)
    yield made
    await made.close()


def at(url: str, **further: str) -> Ollama:
    timeouts = Timeouts(first_token_s=5, between_tokens_s=5)
    return Ollama(Endpoint("ollama", url, timeouts=timeouts, further=further))


def chat(words: int, **fields: Any) -> pb.CreateCompletionRequest:
    part = message_pb2.ContentPart(text="word " * words)
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=[part])
    return pb.CreateCompletionRequest(**{"model": LLAMA, "messages": [message], **fields})


def contexts(up: OllamaUpstream) -> list[int | None]:
    """num_ctx of every request that asked the model."""
    return [entry.body.get("options", {}).get("num_ctx") for entry in up.bill.calls]


class TestContextSizes:
    async def test_num_ctx_of_a_short_request_is_the_servers_own_and_nothing_is_asked_for_it(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        await direct(ollama).complete(chat(10), Call())
        assert contexts(up) == [None]
        assert len(up.bill) == 1

    async def test_num_ctx_holds_a_long_request_and_its_answer(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        answer = await direct(ollama).complete(chat(6000, max_tokens=2000), Call())
        assert answer.usage.input_tokens > 6000
        assert contexts(up) == [32768]

    async def test_num_ctx_stays_while_the_model_is_loaded_so_that_it_is_not_loaded_again(
        self, up: OllamaUpstream, ollama: Ollama, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for words in (6000, 10, 3000):
            await direct(ollama).complete(chat(words), Call())
        assert contexts(up) == [16384] * 3
        monkeypatch.setattr(context_size, "REMEMBERED_S", -1.0)
        await direct(ollama).complete(chat(10), Call())
        assert contexts(up)[-1] is None

    async def test_num_ctx_of_a_model_that_is_loaded_with_enough_stays(self, up: OllamaUpstream) -> None:
        up.default_context = 65536
        ollama = at(up.url)
        await direct(ollama).complete(chat(10), Call())
        await direct(ollama).complete(chat(6000), Call())
        assert contexts(up) == [None, 65536]
        await ollama.close()

    async def test_num_ctx_of_the_caller_stays(self, up: OllamaUpstream, ollama: Ollama) -> None:
        own = '{"options": {"num_ctx": 50000}}'
        await direct(ollama).complete(chat(6000, provider_options_json=own), Call())
        assert contexts(up) == [50000]

    async def test_num_ctx_is_at_most_what_the_model_was_trained_for(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        with pytest.raises(ContextLengthExceeded):
            await direct(ollama).complete(chat(140_000), Call())
        assert contexts(up) == [TRAINED]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_modelfiles_own_context_is_the_operators_and_nothing_is_cut(
        self, up: OllamaUpstream, ollama: Ollama, stream: bool
    ) -> None:
        up.contexts[LLAMA] = 512
        whole = direct(ollama).complete(chat(3000), Call())
        answer = fold(direct(ollama).stream(chat(3000), Call())) if stream else whole
        with pytest.raises(ContextLengthExceeded, match="the input length exceeds the context length"):
            await answer
        whole.close()
        assert contexts(up) == [None]
        assert await ollama.context_length("llama3.2", Call()) == 512
        [listed] = [model for model in await ollama.list_models() if model.id == LLAMA]
        assert listed.context_length == 512

    async def test_the_setting_bounds_what_is_loaded_and_reported(self, up: OllamaUpstream) -> None:
        ollama = at(up.url, num_ctx="8192")
        with pytest.raises(ContextLengthExceeded):
            await direct(ollama).complete(chat(20_000), Call())
        await direct(ollama).complete(chat(2000), Call())
        assert contexts(up) == [8192, 8192]
        assert await ollama.context_length(LLAMA, Call()) == 8192
        await ollama.close()

    @pytest.mark.parametrize("setting", ["0", "-1", "many", "1.5", ""])
    def test_a_setting_that_is_no_number_of_tokens_is_refused(self, setting: str) -> None:
        with pytest.raises(ValueError, match="GENAI_OLLAMA_NUM_CTX="):
            at("http://127.0.0.1:1", num_ctx=setting)

    async def test_an_input_of_embeddings_is_not_cut_either(self, up: OllamaUpstream, ollama: Ollama) -> None:
        texts = [pb.EmbeddingInput(text="word " * words) for words in (10, 6000)]
        request = pb.CreateEmbeddingsRequest(model="nomic-embed-text:latest", inputs=texts)
        response = await direct(ollama).embed(request, Call())
        assert response.usage.input_tokens >= 6000
        assert contexts(up) == [16384]
        up.contexts["nomic-embed-text:latest"] = 512
        with pytest.raises(ContextLengthExceeded):
            await direct(at(up.url)).embed(request, Call())

    async def test_what_ollama_does_not_tell_is_left_to_the_call(
        self, up: OllamaUpstream, ollama: Ollama
    ) -> None:
        up.script(Reply(status=500, body={"error": "no"}), on="/api/show")
        with pytest.raises(ContextLengthExceeded):
            await direct(ollama).complete(chat(6000), Call())
        assert contexts(up) == [None]


@pytest.mark.parametrize(
    ("parameters", "trained", "length"),
    [
        ("", 131072, 131072),
        ("num_ctx                        512", 131072, 512),
        ('stop  "num_ctx 1"\nnum_ctx 8192\ntemperature 1', 131072, 8192),
        ("num_ctx 262144", 131072, 131072),
        ("num_ctx 4096", None, 4096),
        ("num_ctx many", 2048, 2048),
        ("", None, None),
    ],
)
def test_model_details_know_the_smaller_context(
    parameters: str, trained: int | None, length: int | None
) -> None:
    info = {} if trained is None else {"llama.context_length": trained}
    assert ModelDetails(model_info=info, parameters=parameters).context_length() == length


def test_needed_tokens_are_those_of_text_images_and_answer() -> None:
    assert needed_tokens({}, 4000, 0) == 2000 + 1024
    assert needed_tokens({"options": {"num_predict": 5000}}, 4000, 0) == 7000
    assert needed_tokens({"options": {"num_predict": -1}}, 0, 2) == 2 * 2048 + 1024


@pytest.mark.parametrize("told", [{"general.architecture": "gemma3"}, {}])
def test_context_of_a_model_that_sees_is_that_of_its_text(told: dict[str, str]) -> None:
    info = {"clip.vision.context_length": 77, **told, "gemma3.context_length": 131072}
    assert ModelDetails(model_info=info).context_length() == 131072
