"""The journal of settlements: what a process told its callers is booked, whoever books it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genai_spine.billing.ledger.journal import HEAD, SUFFIX, Journal
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.executions import Executions
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.ledgers import call, chained, running, succeed, verified

SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED


def settlement(id: str, tokens: int = 7) -> Execution:
    return succeed(Execution(id=id), tokens)


def left_by_the_dead(folder: Path, *settlements: Execution) -> Path:
    """Journal of a process that was killed."""
    journal = Journal(folder)
    for one in settlements:
        assert journal.add(one)
    path = journal._paths[0]
    for file in journal._files:  # as the kernel does
        os.close(file)
    return path


def ids(journal: Journal) -> list[list[str]]:
    return [[one.id for one in left.settlements] for left in journal.abandoned()]


def test_dead_process_leaves_its_settlements_and_a_living_one_is_let_alone(tmp_path):
    living, mine = Journal(tmp_path), Journal(tmp_path)
    living.add(settlement("of the living"))
    left_by_the_dead(tmp_path, settlement("a"), settlement("b"), settlement("a", tokens=9))
    [[first, second], []] = sorted(
        [left.settlements for left in mine.abandoned()], key=lambda found: -len(found)
    )
    assert (first.id, first.usage.input_tokens, second.id) == ("a", 7, "b")


def test_journal_of_a_killed_process_survives_it(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path;"
        "from genai_spine.billing.ledger.journal import Journal;"
        "from genai_spine.v1.execution_pb2 import Execution;"
        "Journal(Path(sys.argv[1])).add(Execution(id='told'));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ["told"] in ids(Journal(tmp_path))


@pytest.mark.parametrize("cut", [1, HEAD.size, HEAD.size + 3])
def test_record_that_is_not_whole_ends_a_journal(tmp_path, cut):
    whole = settlement("whole").SerializeToString()
    path = left_by_the_dead(tmp_path, settlement("whole"), settlement("half"))
    content = path.read_bytes()
    path.write_bytes(content[: HEAD.size + len(whole) + cut])
    assert ["whole"] in ids(Journal(tmp_path))


def test_record_that_was_altered_ends_a_journal(tmp_path):
    path = left_by_the_dead(tmp_path, settlement("whole"), settlement("bad"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert ["whole"] in ids(Journal(tmp_path))


def test_what_is_committed_is_emptied_and_what_is_not_stays(tmp_path):
    journal = Journal(tmp_path)
    journal.add(settlement("a"))
    journal.trim({"a"})
    journal.add(settlement("b"))
    journal.trim({"a", "b"})
    assert sorted(path.stat().st_size > 0 for path in journal._paths) == [True, True]
    journal.trim({"b"})  # the file with a is emptied, and written next
    journal.add(settlement("c"))
    journal.trim(())
    journal.trim(())
    assert [path.stat().st_size for path in journal._paths] == [0, 0]


def test_nothing_is_left_where_all_is_done(tmp_path):
    journal = Journal(tmp_path)
    journal.add(settlement("a"))
    journal.close(is_done=True)
    assert list(tmp_path.iterdir()) == []


def test_files_are_private(tmp_path):
    folder = tmp_path / "new"
    Journal(folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert [path.stat().st_mode & 0o077 for path in folder.glob(f"*{SUFFIX}")] == [0, 0]


async def test_settlement_in_the_journal_makes_nobody_wait(database, tmp_path):
    executions = Executions(database)
    async with running(executions, database) as ledger:
        ledger.journal = Journal(tmp_path)
        execution = call()
        await ledger.reserve(execution)
        assert ledger.settle(succeed(execution)).done()
        await ledger.booked([execution.id])
        assert (await executions.get(execution.id, DEFAULT_TENANT)).state == SUCCEEDED


async def test_call_of_a_run_waits_for_its_commit(database, tmp_path):
    executions = Executions(database)
    async with running(executions, database) as ledger:
        ledger.journal = Journal(tmp_path)
        execution = call()
        execution.run_id = "run"
        await ledger.reserve(execution)
        booked = ledger.settle(succeed(execution))
        assert not booked.done()
        await booked
        assert (await executions.get(execution.id, DEFAULT_TENANT)).state == SUCCEEDED


@pytest.mark.parametrize("is_swept", [False, True])
async def test_settlement_of_a_dead_process_is_booked_by_the_next_one(database, tmp_path, is_swept):
    """Once, exactly, and without a trace of tampering; also where it was taken for lost before."""
    dead = chained(database)
    execution = call()
    async with running(dead, database) as ledger:
        await ledger.reserve(execution)
    left_by_the_dead(tmp_path, succeed(execution))
    if is_swept:
        async with running(chained(database), database):
            pass
    for _ in range(2):  # a second process that finds the same changes nothing
        async with running(chained(database), database) as ledger:
            ledger.journal = Journal(tmp_path)
            await ledger._book_abandoned()
        row = await dead.get(execution.id, DEFAULT_TENANT)
        assert (row.state, row.usage.input_tokens) == (SUCCEEDED, 7)
        left_by_the_dead(tmp_path, succeed(execution))
    assert (await verified(database)).findings == []


async def test_full_disk_makes_callers_wait(database, tmp_path, monkeypatch):
    executions = Executions(database)
    async with running(executions, database) as ledger:
        ledger.journal = Journal(tmp_path)
        execution = call()
        await ledger.reserve(execution)
        monkeypatch.setattr(os, "write", lambda *_: 3)
        booked = ledger.settle(succeed(execution))
        assert not booked.done()
        await booked
        monkeypatch.undo()
