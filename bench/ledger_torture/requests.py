"""Requests of a torture: what each kind of call asks, and the sessions and the prompt that it is about."""

from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody

from bench.ledger_torture.schedule import Kind, PlannedCall
from bench.ledger_torture.servers import ServerProcess
from genai_spine.v1 import capability_service_pb2, message_pb2
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import session_service_pb2 as sessions

CHAT_MODEL, EMBEDDING_MODEL = "gpt-4o", "text-embedding-3-small"
USERS = 7
SESSIONS = 12  # whose sends wait for each other
WINDOW = 4  # messages of a session that a send repeats
PROMPT = "torture"  # slug
METHODS = {
    Kind.UNARY: "CreateCompletion",
    Kind.STREAM: "StreamCompletion",
    Kind.EMBEDDING: "CreateEmbeddings",
}
Metadata = list[tuple[str, str]]


class Requests:
    """Requests of calls, which know the sessions by their ids."""

    def __init__(self) -> None:
        self.sessions: list[str] = []  # ids

    async def prepare(self, server: ServerProcess) -> None:
        """Makes the sessions and the prompt."""
        wanted = sessions.CreateSessionRequest(
            model=CHAT_MODEL, history_policy=sessions.HISTORY_POLICY_WINDOW, history_window=WINDOW
        )
        for _ in range(SESSIONS):
            self.sessions.append((await server.sessions.CreateSession(wanted)).id)
        prompt = prompts.Prompt(name="Torture", slug=PROMPT, preferred_model=CHAT_MODEL)
        prompt.user_prompt_template = "Answer this: {{ question }}"
        prompt.variables.add(name="question", required=True)
        await server.prompts.CreatePrompt(prompts.CreatePromptRequest(prompt=prompt))

    def session_of(self, planned: PlannedCall) -> str:
        """Id of the session that a call sends to."""
        return self.sessions[planned.number % SESSIONS]

    def begun(self, planned: PlannedCall, server: ServerProcess, metadata: Metadata) -> Any:
        """The RPC of a call, begun."""
        user = f"user-{planned.number % USERS}"
        match planned.kind:
            case Kind.SUMMARY:
                summary = capability_service_pb2.SummarizeRequest(content=planned.prompt, model=CHAT_MODEL)
                return server.capabilities.Summarize(summary, metadata=metadata)
            case Kind.SEND:
                session = self.session_of(planned)
                send = sessions.SendMessageRequest(session_id=session, content=planned.prompt, user=user)
                return server.sessions.SendMessage(send, metadata=metadata)
            case Kind.PROMPT:
                execute = prompts.ExecutePromptRequest(prompt_slug=PROMPT, user=user)
                execute.variables.update({"question": planned.prompt})
                return server.prompts.ExecutePrompt(execute, metadata=metadata)
            case Kind.CHAT | Kind.CHAT_STREAM:
                return _chat(planned, server, metadata, user)
        return getattr(server.completions, METHODS[planned.kind])(
            _completion(planned, user), metadata=metadata
        )


def _chat(planned: PlannedCall, server: ServerProcess, metadata: Metadata, user: str) -> Any:
    messages = [{"role": "user", "content": planned.prompt}]
    body = {"model": CHAT_MODEL, "user": user, "messages": messages, "stream": planned.streams}
    data = HttpBody(data=msgspec.json.encode(body), content_type="application/json")
    path = [("x-envoy-original-path", "/v1/chat/completions")]
    return server.openai.CreateChatCompletion(data, metadata=metadata + path)


def _completion(planned: PlannedCall, user: str) -> pb.CreateCompletionRequest | pb.CreateEmbeddingsRequest:
    if planned.kind is Kind.EMBEDDING:
        embedding = pb.CreateEmbeddingsRequest(model=EMBEDDING_MODEL, user=user)
        embedding.inputs.add(text=planned.prompt)
        return embedding
    said = message_pb2.Message(role=message_pb2.ROLE_USER)
    said.content.add(text=planned.prompt)
    return pb.CreateCompletionRequest(model=CHAT_MODEL, messages=[said], user=user)
