"""`genai-spine chat`: a conversation with a model that is kept on this side alone."""

from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.cli.client import connected
from genai_spine.cli.conversation import Say, converse
from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, StreamedAnswer, counted, print_json
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub

Stream = Callable[[pb.CreateCompletionRequest], AsyncIterable[pb.CompletionChunk]]


class Chat:
    """Conversation with a model that is kept on this side alone."""

    def __init__(
        self, model: str | None, system: str | None, max_tokens: int | None, *, as_json: bool
    ) -> None:
        self.as_json = as_json
        self.request = pb.CreateCompletionRequest(model=model, max_tokens=max_tokens)
        if system:
            self._add(message_pb2.ROLE_SYSTEM, system)
        self._answers: list[pb.Completion] = []

    @asynccontextmanager
    async def opened(self, address: str) -> AsyncIterator[Say]:
        """Connection to a server; at the end the sum of what was said goes to standard error."""
        async with connected(address) as channel:
            stub = CompletionServiceStub(channel)

            async def say(text: str) -> None:
                await self._exchange(stub.StreamCompletion, text)

            yield say
        if len(self._answers) > 1:
            typer.echo(_sum(self._answers), err=True)

    async def _exchange(self, stream: Stream, text: str) -> None:
        """Message sent and answer printed as it streams; the conversation goes on with both.

        A question without an answer is taken back, so that it can be asked again.
        """
        self._add(message_pb2.ROLE_USER, text)
        whole = ChunkBuilder()
        try:
            with StreamedAnswer("waiting for the model") as shown:
                async for chunk in stream(self.request):
                    whole.add(chunk)
                    for delta in chunk.choices if not self.as_json else ():
                        shown.write(delta.content)
        finally:
            answer = whole.completion()
            content = text_of(first_choice(answer)) if answer.choices else ""
            if content:
                self._add(message_pb2.ROLE_ASSISTANT, content)
            else:
                del self.request.messages[-1]
        self._answers.append(answer)
        if self.as_json:
            print_json(_summary(content, answer))
        else:
            typer.echo(_footer(answer), err=True)

    def _add(self, role: message_pb2.Role, text: str) -> None:
        self.request.messages.add(role=role, content=[message_pb2.ContentPart(text=text)])


def chat(
    text: Annotated[list[str] | None, typer.Argument(help="What to say; - reads standard input.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Model. Default: the server's.")] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of an answer.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Talk to a model; the answer streams. Without text: a conversation, until Ctrl-D.

    What is piped in is one message: cat notes.txt | genai-spine chat.
    """
    talk = Chat(model, system, max_tokens, as_json=as_json)
    converse(talk.opened(address), " ".join(text) if text else None)


def _summary(content: str, answer: pb.Completion) -> dict[str, object]:
    return {
        "content": content,
        "model": answer.model,
        "provider": answer.provider,
        "input_tokens": answer.usage.input_tokens,
        "output_tokens": answer.usage.output_tokens,
        "cost_usd": answer.cost.cost_usd,
        "price_known": answer.cost.price_known,
        "latency_ms": answer.latency_ms,
        "execution_id": answer.execution_id,
        "request_id": answer.request_id,
    }


def _footer(answer: pb.Completion) -> str:
    tokens = f"{answer.usage.input_tokens} + {counted(answer.usage.output_tokens, 'token')}"
    return f"[{answer.provider}:{answer.model}, {tokens}, {_cost([answer])}, {answer.latency_ms} ms]"


def _sum(answers: list[pb.Completion]) -> str:
    given = sum(answer.usage.input_tokens for answer in answers)
    made = sum(answer.usage.output_tokens for answer in answers)
    tokens = f"{given} + {counted(made, 'token')}"
    return f"[conversation: {counted(len(answers), 'answer')}, {tokens}, {_cost(answers)}]"


def _cost(answers: list[pb.Completion]) -> str:
    if not all(answer.cost.price_known for answer in answers):
        return "price not known"
    return f"${sum(answer.cost.cost_usd for answer in answers):.6f}"
