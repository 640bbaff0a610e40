"""The daemon's main program: a node in the foreground until SIGTERM or SIGINT."""

import ctypes
import os
import resource
import signal
import sys
import time
from functools import partial
from pathlib import Path

import structlog
import trio

import paasd
from paasd.config import Config
from paasd.errors import PaasdError
from paasd.log import configure_logging
from paasd.membership import read_removal
from paasd.node.identity import PASSWORD_FILE
from paasd.node.node import Node, open_node
from paasd.node.removed import serve_removed, until_removed
from paasd.watchdog import SlowSteps, service_notifications

_PR_SET_DUMPABLE = 4
SLOW_STEP_S = 0.1
"""A task step that holds the loop longer is logged by name; a tenant's request may have waited for it."""


def run_node(config: Config) -> None:
    """Serve until told to stop. Raises PaasdError when the node cannot start; anything unforeseen ends the process."""
    configure_logging(level=config.node.log_level)
    forbid_core_dumps()
    began = time.monotonic()
    try:
        trio.run(partial(_serve, config, began), instruments=[SlowSteps(_report_slow, threshold_s=SLOW_STEP_S)])
    except BaseExceptionGroup as group:
        # Nurseries wrap what stopped the node; a person is told that alone, the unforeseen is shown whole.
        foreseen, others = group.split(PaasdError)
        if foreseen is None or others is not None:
            raise
        raise _first(foreseen) from None


def forbid_core_dumps() -> None:
    """The root key and tenants' environments are in this process's memory and must not get onto a disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The limit does not count for a handler that the kernel pipes dumps to; this does, for all but what we exec.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)


async def _serve(config: Config, began: float) -> None:
    directory = Path(config.data)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

        async def told_to_stop() -> None:
            signum = await anext(aiter(signals))
            structlog.get_logger("paasd").info("stopping", signal=signal.Signals(signum).name)

        try:
            async with open_node(config) as node, service_notifications(os.environ, os.getpid()) as told:
                _greet(node, time.monotonic() - began)
                if not await until_removed(node, told_to_stop):
                    return
                told.goes_on = True
        except* PaasdError:
            # One that cannot start because nobody talks to it any more may have learned just that.
            if read_removal(directory) is None:
                raise
        removal = read_removal(directory)
        assert removal is not None
        async with serve_removed(config, removal), service_notifications(os.environ, os.getpid()):
            await told_to_stop()


def _greet(node: Node, took_s: float) -> None:
    structlog.get_logger("paasd").info("ready", version=paasd.__version__, seconds=round(took_s, 2), node=node.guid)
    if not sys.stderr.isatty() and node.admin_password is None:
        return
    lines = [
        f"paasd {paasd.__version__} is ready after {took_s:.1f} s",
        f"  API      {node.url('api')}   (for root also {node.doors.unix_path})",
        f"  apps     https://<name>.{node.config.domains.apps}{node.port_suffix}",
        f"  CA       {node.certificates.authority_path}   (curl --cacert)",
    ]
    if node.admin_password is not None:
        where = node.directory / PASSWORD_FILE
        # A terminal is somebody who looks; anything else is a log, which keeps what it gets and is sent on.
        shown = f"{node.admin_password}   (shown this once, kept in {where})" if sys.stderr.isatty() else f"in {where}"
        lines.append(f"  admin    password {shown}")
    lines.append("  next     paasd push NAME FOLDER")
    print("\n".join(lines), file=sys.stderr, flush=True)


def _report_slow(task: str, seconds: float, where: str) -> None:
    structlog.get_logger("paasd").warning("slow step", task=task, ms=round(seconds * 1000), where=where)


def _first(group: BaseExceptionGroup[PaasdError]) -> PaasdError:
    error: PaasdError | BaseExceptionGroup[PaasdError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
