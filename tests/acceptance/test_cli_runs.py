"""Commands of durable runs, as processes and in a terminal of their own."""

import json
from pathlib import Path

import pytest

from tests.acceptance.stack import Stack, genai_spine
from tests.acceptance.terminal import Terminal
from tests.upstreams.openai_errors import rate_limited
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

TEXT = "The sky is blue. Grass is green. Snow is white."
PARAMS = json.dumps({"content": TEXT, "provider": "builtin"})
SLOW = ("completion", "--params", json.dumps({"prompt": "Hello", "model": "gpt-4o"}))


def said(stack: Stack, *arguments: str, status: int = 0) -> str:
    done = genai_spine(*arguments, "--address", stack.address)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def submitted(stack: Stack, *arguments: str) -> str:
    return str(json.loads(said(stack, "runs", "submit", *arguments, "--json"))["run_id"])


def test_run_is_submitted_watched_and_shown(stack: Stack) -> None:
    run_id = submitted(
        stack, "summarize", "--params", PARAMS, "--metadata", "team=news", "--priority", "high"
    )
    lines = said(stack, "runs", "watch", run_id).splitlines()
    assert [line.split()[2] for line in lines[:-1]] == ["created", "queued", "started", "completed"]
    assert lines[-1].startswith(f"{run_id}  completed  $0.000000")
    assert json.loads(said(stack, "runs", "results", run_id))["summary"]
    shown = json.loads(said(stack, "runs", "show", run_id, "--json"))
    assert (shown["status"], shown["options"]["trigger_source"]) == ("completed", "cli")
    assert "genai.summarize" in said(stack, "runs", "show", run_id)
    assert run_id in said(stack, "runs", "list", "--name", "summarize")
    assert len(said(stack, "runs", "events", run_id).splitlines()) == 4
    assert len(json.loads(said(stack, "runs", "events", run_id, "--after", "3", "--json"))["events"]) == 1
    assert "completed" in said(stack, "runs", "steps", run_id)


def test_work_as_it_is_and_a_file_are_submitted_too(stack: Stack, tmp_path: Path) -> None:
    work = json.dumps({"summarize": {"content": TEXT, "provider": "builtin"}})
    assert "completed" in said(stack, "runs", "submit", "--work-json", work, "--watch")
    (tmp_path / "run.json").write_text(json.dumps({"name": "summarize", "params": json.loads(PARAMS)}))
    assert "completed" in said(stack, "runs", "submit", "--file", str(tmp_path / "run.json"), "--watch")
    assert (
        said(stack, "runs", "submit", "summarize", "--params", PARAMS, "--dry-run") == "it can be submitted\n"
    )
    refused = genai_spine("runs", "submit", "--address", stack.address)
    assert (refused.returncode, "say one of" in refused.stderr) == (1, True)


def test_exit_status_says_how_a_run_ended(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    bad = submitted(stack, "execute_prompt", "--params", '{"slug": "nobody-s"}')
    assert "PROMPT_NOT_FOUND" in said(stack, "runs", "wait", bad, status=3)
    assert "submit" not in said(stack, "runs", "retry", bad)
    openai_upstream.script(Reply(text="late", headers_delay_s=30))
    slow = submitted(stack, *SLOW)
    assert "running" in said(stack, "runs", "wait", slow, "--timeout", "1", status=5)
    said(stack, "runs", "cancel", slow, "--reason", "enough")
    said(stack, "runs", "wait", slow, status=4)
    refused = genai_spine("runs", "cancel", slow, "--address", stack.address)
    assert "cannot be cancelled" in refused.stderr


def test_held_run_starts_when_it_is_approved(stack: Stack) -> None:
    run_id = submitted(stack, "summarize", "--params", PARAMS, "--hold")
    assert "waits: APPROVAL" in said(stack, "runs", "show", run_id)
    said(stack, "runs", "approve", run_id)
    said(stack, "runs", "wait", run_id)


def test_watch_draws_on_a_terminal_and_ends_with_the_run(
    stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text="one two three four", first_delay_s=3.0))
    run_id = submitted(stack, *SLOW)
    with Terminal("runs", "watch", run_id, "--address", stack.address, width=100) as terminal:
        terminal.wait_for("running")
        assert terminal.end() == 0
    assert f"{run_id}  completed" in terminal.text


def test_ctrl_c_leaves_the_run_alone_and_says_how_to_go_on(
    stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text="late", first_delay_s=5.0))
    run_id = submitted(stack, *SLOW)
    with Terminal("runs", "watch", run_id, "--address", stack.address, width=100) as terminal:
        terminal.wait_for("running")
        terminal.keys("\x03")
        assert terminal.end() == 130
    assert f"genai-spine runs watch {run_id} --after 3" in terminal.text
    assert "completed" in said(stack, "runs", "watch", run_id, "--after", "3")


def test_queues_and_workers_are_tables(stack: Stack) -> None:
    assert "last 24 hours: completed" in said(stack, "runs", "stats")
    assert "serving" in said(stack, "workers")
    assert len(json.loads(said(stack, "workers", "--json"))["workers"]) == 1


@pytest.mark.parametrize("line", ["no json", '{"params": {}}', '{"type": "nothing"}'])
def test_line_of_a_batch_that_is_wrong_is_named(stack: Stack, tmp_path: Path, line: str) -> None:
    (tmp_path / "b.jsonl").write_text('{"type": "summarize", "params": {"content": "a. b."}}\n' + line)
    refused = genai_spine("batch", str(tmp_path / "b.jsonl"), "--address", stack.address)
    assert refused.returncode == 1
    assert "b.jsonl:2" in refused.stderr


def test_batch_of_a_file_is_watched_and_its_results_are_written(stack: Stack, tmp_path: Path) -> None:
    named = {"id": "sky", "type": "summarize", "params": {"content": TEXT, "provider": "builtin"}}
    whole = {"item_id": "grass", "work": {"summarize": {"content": TEXT, "provider": "builtin"}}}
    (tmp_path / "b.jsonl").write_text(json.dumps(named) + "\n\n" + json.dumps(whole) + "\n")
    assert "2/2 items" in said(stack, "batch", str(tmp_path / "b.jsonl"), "--concurrency", "2")
    lines = [json.loads(line) for line in (tmp_path / "b.results.jsonl").read_text().splitlines()]
    assert [line["item_id"] for line in lines] == ["sky", "grass"]
    assert all(line["response"]["summarize"]["summary"] for line in lines)
    with Terminal("batch", str(tmp_path / "b.jsonl"), "--address", stack.address, width=100) as terminal:
        assert terminal.end() == 0
    assert "2/2 items" in terminal.text


def test_schedule_lives_on_the_command_line(stack: Stack) -> None:
    made = ("--work", "summarize", "--params", PARAMS, "--cron", "0 0 29 2 *", "--json")
    schedule = json.loads(said(stack, "schedules", "create", "leap", *made))
    assert schedule["next_run_time"].endswith("-02-29T00:00:00Z")
    assert "paused" in said(stack, "schedules", "pause", "leap")
    assert "on" in said(stack, "schedules", "resume", "leap")
    said(stack, "schedules", "update", "leap", "--every", "86400")
    assert "leap" in said(stack, "schedules", "list")
    status = said(stack, "schedules", "trigger", "leap").split()[1]
    assert status in ("queued", "running", "completed"), "it may be quick"
    assert json.loads(said(stack, "schedules", "show", "leap", "--json"))["name"] == "leap"
    assert said(stack, "schedules", "delete", "leap") == "deleted schedule leap\n"


def test_dead_letter_is_shown_replayed_and_resolved(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(default=rate_limited())
    dead = submitted(stack, *SLOW, "--max-retries", "0")
    said(stack, "runs", "wait", dead, status=3)
    letters = json.loads(said(stack, "dlq", "list", "--json"))["dead_letters"]
    (letter,) = [one["dead_letter_id"] for one in letters if one["run_id"] == dead]
    assert letter in said(stack, "dlq", "show", letter)
    openai_upstream.reset()
    said(stack, "dlq", "replay", letter)
    said(stack, "runs", "wait", dead)
    refused = genai_spine("dlq", "resolve", letter, "--address", stack.address)
    assert refused.returncode in (0, 1)
    assert said(stack, "dlq", "purge", "--days", "36500") == "deleted 0\n"
