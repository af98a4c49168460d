"""Templates whose work nothing bounds are stopped, and the next one is rendered all the same."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_spine.prompts.sandbox import TextRefused
from genai_spine.prompts.sandbox_process import MAX_PROCESSES, Sandbox, SandboxBusy

DOUBLED = "{% set x = x ~ x %}"
PAIRED = "{% set x = [x, x] %}{% set y = [y, y] %}"
HOSTILE = {
    "a long range": "{% for i in range(10**9) %}x{% endfor %}",
    "nested loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a repeated text": "{{ 'a' * 10**9 }}",
    "a larger one": "{{ 'a' * 10**12 }}",
    "a repeated list": "{{ [1] * 10**9 }}",
    "a power": "{{ 7 ** (10 ** 8) }}",
    "a format": "{{ '%1000000000d' % 1 }}",
    "another format": "{{ '{:1000000000}'.format(1) }}",
    "a filter": "{{ 'a' | center(10**9) }}",
    "an indent": "{{ 'a\n\nb' | indent(10**9) }}",
    "a method": "{{ 'a'.center(10**9) }}",
    "a text that doubles": "{% set x = 'aaaaaaaa' %}" + DOUBLED * 40 + "{{ x }}",
    "a text that doubles in a loop": (
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    ),
    "a list that doubles": "{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "a comparison that doubles": "{% set x = [1] %}{% set y = [1] %}" + PAIRED * 40 + "{{ x == y }}",
    "a macro that calls itself": "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
    ),
    "a loop that calls itself": "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
}


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    found = Sandbox(cpu_s=0.3)
    yield found
    await found.close()


async def test_what_it_renders_is_what_the_template_says(sandbox):
    source = "{% for i in range(n) %}{{ i }}{name}{% endfor %}"
    assert await sandbox.render(source, ["n", "name"], {"n": 3, "name": "ä{{ x }}"}) == "".join(
        f"{number}ä{{{{ x }}}}" for number in range(3)
    )
    assert await sandbox.render("{{ m }}|{{ 1 * 2 }}", ["m"], {}) == "|2"


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_templates_are_stopped(sandbox, what):
    started = time.monotonic()
    with pytest.raises(TextRefused) as caught:
        await sandbox.render(HOSTILE[what], [], {})
    assert str(caught.value)
    assert time.monotonic() - started < 20  # on a machine that is busy
    assert await sandbox.render("{{ 1 * 2 }}", [], {}) == "2"


async def test_a_caller_that_goes_away_leaves_no_answer_for_the_next_one(sandbox):
    slow = asyncio.create_task(sandbox.render("{% for i in range(99999) %}{{ i }}{% endfor %}", [], {}))
    await asyncio.sleep(0)
    slow.cancel()
    with pytest.raises(asyncio.CancelledError):
        await slow
    texts = await asyncio.gather(*(sandbox.render("{{ n * 1 }}", ["n"], {"n": n}) for n in range(20)))
    assert texts == [str(n) for n in range(20)]


async def test_the_process_does_not_know_the_keys_of_the_server(sandbox, monkeypatch):
    monkeypatch.setenv("GENAI_OPENAI_API_KEY", "sk-secret")
    await sandbox.render("{{ 1 * 2 }}", [], {})
    [process] = sandbox._idle
    assert b"sk-secret" not in environment(process.pid)


async def test_an_error_of_the_template_is_told(sandbox):
    with pytest.raises(TextRefused, match="line 2: division by zero"):
        await sandbox.render("\n{{ 1 / 0 }}", [], {})


async def test_who_waits_too_long_for_a_process_is_told_so_and_the_next_one_is_served():
    sandbox = Sandbox(cpu_s=1.0, wait_s=0.1)
    endless = HOSTILE["nested loops"]
    ended = await asyncio.gather(
        *(sandbox.render(endless, [], {}) for _ in range(MAX_PROCESSES + 3)), return_exceptions=True
    )
    assert [type(error) for error in ended] == [TextRefused] * MAX_PROCESSES + [SandboxBusy] * 3
    assert await sandbox.render("{{ 1 * 2 }}", [], {}) == "2"
    await sandbox.close()


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"%TAG !a{number}! b\n" for number in range(28_000)) + "--- a",
        "1" + ":1" * 249_000,
    ],
    ids=["tags", "base 60"],
)
async def test_yaml_that_takes_too_long_to_read_is_stopped(sandbox, text):
    with pytest.raises(TextRefused, match=r"it takes more than 0.3 s"):
        await sandbox.load_yaml(text)
    assert await sandbox.load_yaml("[a, 1, null]") == ["a", 1, None]


async def test_what_is_wrong_with_yaml_is_told(sandbox):
    with pytest.raises(TextRefused, match="must not use aliases"):
        await sandbox.load_yaml("[&a x, *a]")
