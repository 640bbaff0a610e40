"""From one log to another while writes go on.

From the local log to a shared one: the entry that the new log begins with, and that this database uses the new log from
now on, become durable in one transaction; then the new log is begun with that entry, however long it takes to know that
it was; then writes go on there. After a crash in between, the next start finds what was noted and begins the log again,
which does nothing when it has begun. Between two ways to the same shared log nothing has to be copied.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from paasd.state.engine.connection import StateDamaged, set_external
from paasd.state.engine.replica import Replica
from paasd.state.engine.standing import LogKind
from paasd.state.engine.writer import Writer
from paasd.state.log import Log, LogUnavailable, NoAnswer, Runner

StartLog = Callable[[str, int, bytes], Awaitable[None]]
"""(identity, index, entry): begin that log with the entry unless it has begun. Raises LogUnavailable, NoAnswer."""

_PAUSE_S: Final = 0.05
_START_LIMIT_S: Final = 60.0


async def change_log(
    writer: Writer, replica: Replica, run: Runner, log: Log, kind: LogKind, start: StartLog | None
) -> None:
    """Use `log` from now on. Returns when that is certain."""
    if writer.log.external:
        log.attach(replica.connection, run)
        writer.replace_log(log)  # the same entries, so even an append under way may go on there
        await writer.between(partial(run, replica.note_log, kind))
    else:
        await writer.between(partial(_leave_local, writer, replica, run, log, kind, start))


async def _leave_local(
    writer: Writer, replica: Replica, run: Runner, log: Log, kind: LogKind, start: StartLog | None
) -> None:
    if writer.log.external:
        return  # whoever asked before was quicker
    assert start is not None, "a shared log has to begin with the newest entry of this database"
    applied, data = await run(replica.leave_local, kind)
    writer.publish(applied, data)
    await _begin(start, replica.identity, applied.index, data, limit_s=None)
    await run(replica.note_log, kind)
    log.attach(replica.connection, run)
    await run(set_external, replica.connection, True)
    writer.replace_log(log)


def check_log(replica: Replica, log: Log) -> None:
    """Raises StateDamaged when a database of several nodes is opened as if it were alone, or the other way round."""
    if log.external == (replica.standing().kind == "local"):
        uses = "shares its log with other nodes" if not log.external else "has its own log"
        raise StateDamaged(f"{replica.path} {uses} and was opened as if it did not; if its cluster is lost, recover it")


async def finish_change(replica: Replica, run: Runner, log: Log, start: StartLog | None) -> None:
    """At the start of a node: begin a shared log if the last run may have ended before it had begun."""
    standing = replica.standing()
    if standing.base and log.external:
        assert start is not None, "the shared log may not have begun yet"
        await _begin(start, replica.identity, standing.base, replica.local_entry(standing.base), _START_LIMIT_S)
        await run(replica.note_log, standing.kind)


async def _begin(start: StartLog, identity: str, index: int, data: bytes, limit_s: float | None) -> None:
    began = trio.current_time()
    while True:
        try:
            await start(identity, index, data)
        except (LogUnavailable, NoAnswer) as error:
            if limit_s is not None and trio.current_time() - began > limit_s:
                raise LogUnavailable("the shared log cannot be begun: etcd does not answer; see its log") from error
            await trio.sleep(_PAUSE_S)
        else:
            return
