"""Signals of a server process: SIGTERM and SIGINT stop it, SIGUSR2 retires it, SIGHUP reloads it."""

import asyncio
import faulthandler
import gc
import signal
from collections.abc import Callable
from typing import Any

import structlog

from genai_spine.configuration.loader import Configuration, reloaded
from genai_spine.errors import SpineError
from genai_spine.server.retirement import retire
from genai_spine.server.server import Server, build

# Objects, more than there were, after which the collector looks for those that refer to each other; and after
# how many such looks it looks at older ones. A call makes some thousand objects that die by themselves.
COLLECTED = (20_000, 20, 50)
STOP_S = 45.0  # for a stop, past the drain: its own limits together are less

log = structlog.get_logger()


async def serve(
    configuration: Configuration, report: Callable[[dict[str, Any]], None], *, only_runs: bool = False
) -> None:
    """Serving until SIGTERM, SIGINT or SIGUSR2; SIGHUP reads the configuration again.

    only_runs: it is a worker. report gets {"port": ...} once calls are taken, for each SIGHUP
    {"reloaded": ...} or {"refused": why}, and after SIGUSR2 what is left to do.
    """
    settings = configuration.settings
    server = build(settings, only_runs=only_runs)
    stopping, retiring, reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGUSR2, retiring.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await server.start()
    # What was made until now stays for good: the collector need not look at it again and again, nor now for
    # what is garbage of it, which takes a tenth of the start and finds next to nothing.
    gc.freeze()
    gc.set_threshold(*COLLECTED)
    gc.enable()
    log.info(
        "serving",
        port=server.port,
        http_port=server.http and server.http.port,
        lane=settings.lane,
        providers=sorted(server.upstreams),
    )
    http_port = server.http and server.http.port
    report({"port": server.port, "http_port": http_port, "server_id": server.ledger.server_id})
    reloading = asyncio.create_task(_reload_forever(server, configuration, reload, report))
    await _either(stopping, retiring)
    reloading.cancel()
    await asyncio.gather(reloading, return_exceptions=True)
    if retiring.is_set():
        await retire(server, stopping, report)
    end_within(server.settings.drain_delay + server.settings.drain_timeout + STOP_S)
    await server.stop()
    log.info("stopped")


def end_within(limit_s: float) -> None:
    """Ends the process by then, with status 1 and where it hangs in its log, whatever keeps it from ending.

    Its supervisor would kill it sooner, but may be dead itself.
    """
    faulthandler.dump_traceback_later(limit_s + 1, exit=True)  # of threads; its own needs no interpreter
    asyncio.get_running_loop().call_later(limit_s, _show_tasks)


def _show_tasks() -> None:
    for task in asyncio.all_tasks():
        at = [f"{frame.f_code.co_filename}:{frame.f_lineno}" for frame in task.get_stack()]
        log.error("stop_hangs", task=str(task.get_coro()), at=at)


async def _either(*events: asyncio.Event) -> None:
    """Waits for one of them."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def _reload_forever(
    server: Server,
    configuration: Configuration,
    asked: asyncio.Event,
    report: Callable[[dict[str, Any]], None],
) -> None:
    """Reads the configuration again, each time that the event is set; one that is wrong changes nothing."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            latest = await asyncio.to_thread(configuration.reread)
            settings, fixed = reloaded(server.settings, latest.settings)
            await server.reload(settings)
        except (ValueError, OSError, SpineError) as error:
            log.error("configuration_refused", cause=str(error))
            report({"refused": str(error)})
            continue
        if fixed:
            log.warning("configuration_needs_restart", settings=fixed)
        log.info("configuration_reloaded", providers=sorted(server.upstreams))
        report({"reloaded": sorted(server.upstreams), "needs_restart": fixed})
