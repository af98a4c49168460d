"""Commit messages: what the model is told of a change, and what is made of its answer."""

import pytest

from genai_spine.errors import ProviderError
from genai_spine.v1 import capability_service_pb2 as pb
from tests.unit.capabilities.asked import asked, said, watched

DIFF = """\
diff --git a/src/api/lines.py b/src/api/lines.py
index 1..2 100644
--- a/src/api/lines.py
+++ b/src/api/lines.py
@@ -1 +1 @@
-old
+new
diff --git a/README.md b/README.md
new file mode 100644
--- /dev/null
+++ b/README.md
@@ -0,0 +1 @@
+hello
"""


def files(*paths: str) -> list[pb.ChangedFile]:
    return [pb.ChangedFile(path=path) for path in paths]


async def test_at_most_50_files_are_listed_with_their_status() -> None:
    request = pb.GenerateCommitRequest(files=files(*(f"pkg/f{number}.py" for number in range(60))))
    request.files[1].status = "deleted"
    response, model = await watched(request, "chore: x")
    assert "- pkg/f0.py (modified)" in said(model)
    assert "- pkg/f1.py (deleted)" in said(model)
    assert "- pkg/f49.py" in said(model)
    assert "- pkg/f50.py" not in said(model)
    assert "and 10 more" in said(model)
    assert response.files_analyzed == 60
    assert model.requests[0].temperature == 0.4


async def test_last_10_lines_of_the_chat_are_told_200_characters_each() -> None:
    lines = [pb.ChatLine(role="user", content=f"line {number} " + "x" * 300) for number in range(12)]
    _, model = await watched(pb.GenerateCommitRequest(files=files("a.py"), chat_context=lines), "chore: x")
    told = said(model)
    assert "line 1 " not in told
    assert "user: line 2 " in told
    assert "line 11 " in told
    assert max(len(word) for word in told.split()) < 200


async def test_first_5_diffs_are_told_500_characters_each() -> None:
    changed = files(*(f"f{number}.py" for number in range(8)))
    for number, file in enumerate(changed):
        if number != 1:
            file.diff = f"<{number}>" + "+" * 600
    _, model = await watched(pb.GenerateCommitRequest(files=changed), "chore: x")
    told = said(model)
    assert [number for number in range(8) if f"<{number}>" in told] == [0, 2, 3, 4, 5]
    assert "+" * 497 in told
    assert "+" * 498 not in told


async def test_files_are_read_from_a_diff() -> None:
    response, model = await watched(
        pb.GenerateCommitRequest(diff=DIFF, context="we list lines"), "feat(api): list lines"
    )
    assert "- src/api/lines.py (modified)" in said(model)
    assert "- README.md (added)" in said(model)
    assert "user: we list lines" in said(model)
    assert "+new" in said(model)
    assert response.files_analyzed == 2
    assert [(group.scope, list(group.files)) for group in response.feature_groups] == [
        ("api", ["src/api/lines.py"]),
        ("root", ["README.md"]),
    ]
    assert list(response.suggested_tags) == ["api", "documentation", "feature"]
    assert response.message == response.commit_message == "feat(api): list lines"


async def test_diff_without_headers_is_read_as_it_is() -> None:
    response, model = await watched(pb.GenerateCommitRequest(diff="-old\n+new"), "chore: x")
    assert "-old\n+new" in said(model)
    assert response.files_analyzed == 0


async def test_files_get_their_diffs_from_the_whole_diff() -> None:
    request = pb.GenerateCommitRequest(files=files("README.md", "other.py"), diff=DIFF)
    response, model = await watched(request, "docs: x")
    assert "+hello" in said(model)
    assert "+new" not in said(model)
    assert response.files_analyzed == 2


async def test_other_names_of_fields_are_taken() -> None:
    request = pb.GenerateCommitRequest(files_changed=files("a.py"), diff_summary="it was slow")
    response, model = await watched(request, "perf: x")
    assert "- a.py (modified)" in said(model)
    assert "user: it was slow" in said(model)
    assert response.files_analyzed == 1


@pytest.mark.parametrize(
    ("style", "told"),
    [
        ("", "Conventional Commits"),
        ("conventional", "Conventional Commits"),
        ("semantic", "one of feat, fix, docs"),
        ("simple", "plain English"),
        ("detailed", "an empty line, and then a paragraph"),
    ],
)
async def test_style_is_told(style: str, told: str) -> None:
    _, model = await watched(pb.GenerateCommitRequest(files=files("a.py"), style=style or None), "x")
    assert told in said(model)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(None, "feat(api)!: list"), (True, "feat(api)!: list"), (False, "feat!: list")],
)
async def test_scope_is_left_out_when_it_is_not_wanted(wanted: bool | None, message: str) -> None:
    request = pb.GenerateCommitRequest(files=files("api/a.py"), include_scope=wanted)
    response, model = await watched(request, "feat(api)!: list")
    assert response.commit_message == message
    assert ("the files belong to: api" in said(model)) is (wanted is not False)
    assert ("Name no scope" in said(model)) is (wanted is False)


@pytest.mark.parametrize(
    "answer", ["fix: x", "```\nfix: x\n```", "`fix: x`", '"fix: x"', "<think>hm</think>fix: x"]
)
async def test_message_is_bare(answer: str) -> None:
    response = await asked(pb.GenerateCommitRequest(files=files("a.py")), answer)
    assert (response.commit_message, list(response.suggested_tags)) == ("fix: x", ["bugfix"])


async def test_message_has_no_more_characters_than_wanted() -> None:
    long = "fix: short subject\n\n" + "A sentence of the body. " * 30
    by_default = await asked(pb.GenerateCommitRequest(files=files("a.py")), long)
    assert 450 < len(by_default.message) <= 500
    response = await asked(pb.GenerateCommitRequest(files=files("a.py"), max_length=100), long)
    assert len(response.message) <= 100
    assert response.message.startswith("fix: short subject")
    assert long.startswith(response.message)


async def test_empty_fence_is_a_provider_error() -> None:
    with pytest.raises(ProviderError, match="no commit message"):
        await asked(pb.GenerateCommitRequest(files=files("a.py")), "``````")
