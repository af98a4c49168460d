"""Signals of a server process: SIGTERM and SIGINT stop it, SIGHUP reads its configuration again."""

import asyncio
import gc
import signal
from collections.abc import Callable
from typing import Any

import structlog

from genai_spine.configuration.loader import Configuration, reloaded
from genai_spine.errors import SpineError
from genai_spine.server.server import Server, build

log = structlog.get_logger()


async def serve(
    configuration: Configuration, report: Callable[[dict[str, Any]], None], *, only_runs: bool = False
) -> None:
    """Serving until SIGTERM or SIGINT; SIGHUP reads the configuration again. only_runs: it is a worker.

    report gets {"port": ...} once calls are taken, and for each SIGHUP {"reloaded": ...} or {"refused": why}.
    """
    settings = configuration.settings
    server = build(settings, only_runs=only_runs)
    stopping, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    await server.start()
    # What was made until now stays for good: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.enable()
    log.info("serving", port=server.port, lane=settings.lane, providers=sorted(server.upstreams))
    report({"port": server.port, "server_id": server.ledger.server_id})
    reloading = asyncio.create_task(_reload_forever(server, configuration, reload, report))
    await stopping.wait()
    reloading.cancel()
    await asyncio.gather(reloading, return_exceptions=True)
    await server.stop()
    log.info("stopped")


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
