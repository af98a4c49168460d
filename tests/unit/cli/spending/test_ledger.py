"""`genai-spine ledger`, as an operator and a script use it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from genai_spine.access import secrets
from genai_spine.cli.main import app
from genai_spine.store.booking.chain import Chain
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.telemetry import logs
from tests.ledgers import call, running, succeed

SECRET = "7e" * 32


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Any:
    """Commands in a folder without settings, over the database of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda level: None)  # of this process

    async def ledger(*arguments: str, secret: str = SECRET) -> Any:
        variables = {"GENAI_DATABASE_URL": database_url, "GENAI_SECRET_KEY": secret or None}
        return await asyncio.to_thread(CliRunner().invoke, app, ["ledger", *arguments], env=variables)

    return ledger


async def served(database: Database) -> str:
    """Id of a call that was lost; another one was settled."""
    executions = Executions(database, Chain(secrets.parsed(SECRET).keys(secrets.LEDGER)[0]))
    async with running(executions, database) as ledger:
        settled, lost = call(), call()
        settled.model = lost.model = "gpt-4o"
        lost.reserved_ticks = 10**9
        for one in (settled, lost):
            await ledger.reserve(one)
        await ledger.settle(succeed(settled))
        await Leases(database).release(ledger.server_id)
        assert await executions.sweep() == [lost.id]
    return lost.id


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", ["verify", "resolve", "reconcile"])
async def test_every_command_explains_itself(ledger, command):
    assert "--json" in (await ledger(command, "--help")).stdout


async def test_verify_says_that_all_is_as_written_and_names_what_is_not(database, ledger, tmp_path):
    lost = await served(database)
    said = await ledger("verify")
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout == "4 versions in 4 commits of 1 chain: all as written\n"
    before = await ledger("verify", "--json")
    (tmp_path / "before.json").write_text(before.stdout)
    assert json.loads(before.stdout)["findings"] == []
    async with database.begin() as connection:
        await connection.exec_driver_sql(f"UPDATE executions SET cost_ticks = 0 WHERE id = '{lost}'")
        await connection.exec_driver_sql("DELETE FROM ledger_batches WHERE seq = 4")
    found = await ledger("verify", "--json", "--against", "before.json")
    assert found.exit_code == 1
    assert [(one["kind"], one["execution_id"]) for one in json.loads(found.stdout)["findings"]] == [
        ("chain_cut", ""),
        ("row_added", lost),
    ]
    table = (await ledger("verify", "--against", "before.json")).stdout.splitlines()
    assert lost in table[2]
    assert table[-3:] == [
        "chain_cut, 1: the end of the chain is gone",
        "row_added, 1: no batch lists the row: it was added, or its batch is gone, or its server had no key",
        "3 versions in 3 commits of 1 chain: not as written",
    ]


async def test_verify_without_the_secret_or_with_another_file_says_what_is_wrong(database, ledger, tmp_path):
    await served(database)
    assert (await ledger("verify", secret="11" * 32)).exit_code == 1
    if database.dialect == "postgresql":  # with SQLite it stands beside the database
        said = await ledger("verify", secret="")
        assert (said.exit_code, "GENAI_SECRET_KEY" in said.stderr) == (1, True)
    (tmp_path / "other.json").write_text("[]")
    said = await ledger("verify", "--against", "other.json")
    assert (said.exit_code, len(said.stderr.splitlines())) == (1, 1)


async def test_resolve_lists_shows_and_books_what_the_provider_says(database, ledger, tmp_path):
    lost = await served(database)
    listing = json.loads((await ledger("resolve", "--json")).stdout)
    [entry] = listing["calls"]
    assert (entry["id"], entry["model"], entry["cost_ticks"]) == (lost, "gpt-4o", 10**9)
    assert lost in (await ledger("resolve")).stdout
    tokens = ("--input-tokens", "1000", "--output-tokens", "100", "--cached-tokens", "200")
    dry = json.loads((await ledger("resolve", lost, *tokens, "--dry-run", "--json")).stdout)
    assert dry["calls"] == [{"id": lost, "old_ticks": 10**9, "new_ticks": 32_500_000, "problem": ""}]
    entry["usage"] = {"input_tokens": 1000, "cache_read_tokens": 200, "output_tokens": 100}
    (tmp_path / "calls.json").write_text(json.dumps(listing))
    said = await ledger("resolve", "--file", "calls.json")
    assert (said.exit_code, said.stdout.splitlines()[-1]) == (0, "resolved 1 call")
    assert json.loads((await ledger("resolve", "--json")).stdout)["calls"] == []
    again = await ledger("resolve", lost, "--not-billed")
    assert (again.exit_code, "is resolved" in again.stdout) == (1, True)
    assert (await ledger("verify")).exit_code == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("x",), "say --not-billed, or how many"),
        (("x", "--not-billed", "--input-tokens", "1"), "say --not-billed, or how many"),
        (("x", "--file", "y"), "not both"),
        (("--file", "no-such-file"), "no-such-file"),
        (("x", "--input-tokens", "1", "--cached-tokens", "2"), "call x: input_tokens is less than its parts"),
    ],
)
async def test_what_is_said_wrong_is_said_in_one_line(ledger, arguments, problem):
    said = await ledger("resolve", *arguments)
    assert said.exit_code == 1
    assert problem in said.stderr
    assert len(said.stderr.splitlines()) == 1
