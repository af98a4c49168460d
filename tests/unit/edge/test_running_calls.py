"""Running calls by the configuration that they began with."""

from genai_spine.edge.running_calls import RunningCalls


async def test_a_generation_is_over_with_its_last_call() -> None:
    calls = RunningCalls()
    first, second = calls.begin(), calls.begin()
    older = calls.next_generation()
    third = calls.begin()
    assert (first, second, third, calls.count) == (0, 0, 1, 3)
    calls.end(first)
    assert not older.done()
    calls.end(second)
    assert older.done()
    assert calls.count == 1


async def test_without_calls_it_is_over_at_once() -> None:
    assert RunningCalls().next_generation().done()


async def test_two_reloads_in_a_row_wait_for_the_oldest_call() -> None:
    calls = RunningCalls()
    first = calls.begin()
    one = calls.next_generation()
    second = calls.begin()
    two = calls.next_generation()
    calls.end(second)
    assert not one.done()
    calls.end(first)
    assert one.done()
    assert two.done()
    assert calls.next_generation().done()
