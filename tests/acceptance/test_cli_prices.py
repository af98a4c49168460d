"""`genai-spine prices`, as an operator and a script use it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.acceptance.stack import explained, finished

PERIOD = ("--from", "2026-11-01", "--to", "2026-11-30")


def prices(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """In a folder without settings."""
    return finished(sys.executable, "-m", "genai_spine", "prices", *arguments, cwd=folder, **variables)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text("[{provider: openai, model: gpt-4o, input: 2, output: 8, valid_from: 2026-11-01}]")
    return path


@pytest.mark.parametrize("command", ["list", "show", "rerate"])
def test_every_command_explains_itself(command: str) -> None:
    assert command in explained("prices")
    assert "--json" in explained("prices", command)


def test_list_shows_prices_and_the_books_sources(tmp_path: Path, own: Path) -> None:
    said = json.loads(prices(tmp_path, "list", "--json", GENAI_PRICE_OVERRIDES=str(own)).stdout)
    assert [source["name"].partition(" ")[0] for source in said["sources"]] == [
        "genai-prices",
        "overlay",
        "overrides",
    ]
    assert said["sources"][2]["valid_from"] == "2026-11-01"
    assert said["sources"][2]["checksum"] in said["price_book"]
    (mine,) = [price for price in said["prices"] if price["source"] == "overrides"]
    assert (mine["model"], mine["input_cost_per_1m_tokens"]) == ("gpt-4o", 2)
    table = prices(tmp_path, "list", "--provider", "deepgram").stdout
    assert "nova-2" in table
    assert "gpt-4o" not in table


def test_show_says_every_unit(tmp_path: Path, own: Path) -> None:
    said = prices(tmp_path, "show", "gpt-4o", GENAI_PRICE_OVERRIDES=str(own)).stdout.splitlines()
    assert said[0] == "openai:gpt-4o (overrides, from 2026-11-01)"
    assert [line.split() for line in said[1:]] == [
        ["$2", "for", "1,000,000", "input", "tokens"],
        ["$8", "for", "1,000,000", "output", "tokens"],
        ["$2.5", "for", "1,000", "calls", "of", "file_search"],
        ["$10", "for", "1,000", "calls", "of", "web_search"],
    ]
    assert json.loads(prices(tmp_path, "show", "openai:whisper-1", "--json").stdout)["units"] == [
        {"unit": "PRICE_UNIT_AUDIO_SECOND", "usd": 0.0001, "above_input_tokens": 0, "server_tool": ""}
    ]
    assert "costs nothing" in prices(tmp_path, "show", "ollama:my-own").stdout


def test_what_has_no_price_is_said_in_one_line(tmp_path: Path) -> None:
    said = prices(tmp_path, "show", "no-such-model")
    assert said.returncode == 1
    assert said.stderr == "genai-spine: no price is known for model 'no-such-model'\n"


def test_bad_price_file_is_named_with_row_and_field(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("[{provider: p, model: m, image: cheap}]")
    said = prices(tmp_path, "list", GENAI_PRICE_OVERRIDES="bad.yaml")
    assert said.returncode == 1
    assert "bad.yaml: row 1:" in said.stderr
    assert len(said.stderr.splitlines()) == 1


async def booked(url: str) -> None:
    """A call of gpt-4o with 1,000,000 input tokens, priced at 1 USD by an older book."""
    usage = usage_pb2.Usage(
        input_tokens=10**6, uncached_input_tokens=10**6, input_provenance="PROVENANCE_PROVIDER_REPORTED"
    )
    cost = usage_pb2.Cost(cost_ticks=10**10, price_known=True, price_book="old")
    call = Execution(
        id="1", state="EXECUTION_STATE_SUCCEEDED", provider="openai", model="gpt-4o", usage=usage, cost=cost
    )
    call.create_time.FromJsonString("2026-11-30T23:00:00Z")
    database = Database(url)
    await Executions(database).save([call])
    await database.close()


async def test_rerate_shows_then_writes_then_has_nothing_to_do(
    database_url: str, tmp_path: Path, own: Path
) -> None:
    await booked(database_url)
    command = ("rerate", *PERIOD, "--book", str(own), "--json")
    dry = json.loads(prices(tmp_path, *command, "--dry-run", GENAI_DATABASE_URL=database_url).stdout)
    assert dry["dry_run"]
    assert dry["changed_rows"] == 1
    (line,) = dry["models"]
    assert (line["provider"], line["model"], line["rows"], line["unpriced_rows"]) == (
        "openai",
        "gpt-4o",
        1,
        0,
    )
    assert (line["old_cost_usd"], line["new_cost_usd"], line["difference_ticks"]) == (1, 2, 10**10)
    done = json.loads(prices(tmp_path, *command, GENAI_DATABASE_URL=database_url).stdout)
    assert done == dry | {"dry_run": False}
    again = json.loads(prices(tmp_path, *command, GENAI_DATABASE_URL=database_url).stdout)
    assert (again["models"], again["changed_rows"]) == ([], 0)


async def test_rerate_prints_a_table(sqlite_url: str, tmp_path: Path, own: Path) -> None:
    await booked(sqlite_url)
    said = prices(tmp_path, "rerate", *PERIOD, "--book", str(own), "--dry-run", GENAI_DATABASE_URL=sqlite_url)
    rows = [line.split() for line in said.stdout.splitlines()]
    assert ["openai:gpt-4o", "1", "0", "1", "2", "1"] in rows
    assert ["total", "1", "0", "1", "2", "1"] in rows
    assert "would change the cost of 1 row" in said.stdout
    assert said.stderr == ""


def test_wrong_period_is_refused(tmp_path: Path) -> None:
    said = prices(tmp_path, "rerate", "--from", "2026-11-30", "--to", "2026-11-01")
    assert (said.returncode, said.stderr) == (1, "genai-spine: --to is before --from\n")
    assert prices(tmp_path, "rerate", "--from", "soon", "--to", "later").returncode == 2


def test_database_without_tables_is_named(tmp_path: Path) -> None:
    said = prices(tmp_path, "rerate", *PERIOD)
    assert said.returncode == 1
    assert "genai-spine migrate" in said.stderr
    assert "Traceback" not in said.stderr
