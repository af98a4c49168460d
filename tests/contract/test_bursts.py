"""A read that brings a long text in small pieces costs what its length does, and loses no byte of it."""

import asyncio
import json
import sys

import pytest

from tests.contract.bursts import ADAPTERS, BURSTS, SIZE, read, text_of, text_parts

MOST_GROWN_MIB = 80  # of 1 MiB in pieces of 5 characters; copied for each piece it would be 100 GiB
PLENTY_S = 120.0


@pytest.mark.parametrize("form", sorted({form for form, _ in BURSTS}))
async def test_burst_of_tokens_is_one_chunk_and_costs_what_its_length_does(form: str) -> None:
    # In a process of its own: the peak of memory is that of the process, and arenas are not Python's.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.bursts", form, "5"), stdout=asyncio.subprocess.PIPE
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), PLENTY_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    for found in json.loads(said).values():
        assert (found["chunks"], found["same"]) == (1, True)
        assert found["grown_mib"] < MOST_GROWN_MIB


@pytest.mark.parametrize(("form", "field"), BURSTS)
async def test_text_does_not_depend_on_how_it_was_cut_into_reads(form: str, field: str) -> None:
    said = ["é", "", '{"a"', ": ", "1}", "日本", "\n\n", "x" * 1000] * 5
    payloads = BURSTS[form, field].payloads(said)
    for size in (1, 7, len(payloads)):
        reads = [payloads[at : at + size] for at in range(0, len(payloads), size)]
        assert text_of(await read(form, reads), field) == "".join(said)


def test_bursts_try_every_form_and_field() -> None:
    fields = {form: {field for known, field in BURSTS if known == form} for form, _ in BURSTS}
    assert all({"content", "reasoning"} <= found for found in fields.values())
    assert set(ADAPTERS) < set(fields) == {"openai", "responses", "anthropic", "ollama", "bedrock"}
    assert len("".join(text_parts(5))) > SIZE - 5
