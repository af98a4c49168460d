"""Large inputs are worked on beside the event loop, so that other callers are answered meanwhile."""

import threading
from typing import Any

import pytest

from genai_spine.capabilities import generate_commit
from genai_spine.text import git_diff
from genai_spine.tokens import counts
from genai_spine.v1 import capability_service_pb2 as capability_pb
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from tests.service.running import Running, asked
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, threading.Thread]:
    """Threads in which the work on a large input was done, by its name."""
    seen: dict[str, threading.Thread] = {}

    def noted(module: Any, name: str) -> None:
        work = getattr(module, name)

        def wrapper(*arguments: Any) -> Any:
            seen[name] = threading.current_thread()
            return work(*arguments)

        monkeypatch.setattr(module, name, wrapper)

    noted(git_diff, "files_of")
    noted(git_diff, "groups")
    noted(git_diff, "tags")
    noted(generate_commit, "_chat")
    noted(counts, "tally")
    return seen


async def test_a_large_diff_is_read_in_a_thread(
    service: Running, threads: dict[str, threading.Thread]
) -> None:
    section = "diff --git a/src/f{0}.py b/src/f{0}.py\n@@ -1 +1 @@\n-old\n+new\n"
    diff = "".join(section.format(number) for number in range(9000))
    service.openai.default = Reply("feat: rename")
    request = capability_pb.GenerateCommitRequest(diff=diff, model="openai:gpt-4o")
    await CapabilityServiceStub(service.channel).GenerateCommit(request)
    assert set(threads) >= {"files_of", "groups", "tags", "_chat"}
    assert threading.main_thread() not in threads.values()


async def test_a_large_input_is_counted_in_a_thread(
    service: Running, threads: dict[str, threading.Thread]
) -> None:
    request = pb.CountTokensRequest(request=asked("word " * 200_000, model="ollama:llama3.2:latest"))
    counted = await service.completions.CountTokens(request)
    assert counted.input_tokens > 150_000
    assert threads["tally"] is not threading.main_thread()
