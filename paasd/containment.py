"""The boundary around one piece of work, such as a connection: what goes wrong in it ends it, and never the node.

Every part of a node runs in its nursery, so whatever leaves a task ends them all. A stranger's bytes must not do that.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog
import trio

from paasd.log import traceback_of

_PAUSE_S: Final = 1.0
# By name: when something was said last, and how often nothing was since. Of the run, as its clock is.
_said: trio.lowlevel.RunVar[dict[str, tuple[float, int]]] = trio.lowlevel.RunVar("said")


async def contained(name: str, work: Callable[[], Awaitable[None]], **fields: Any) -> bool:
    """Run `work`; whether it ended well.

    What nobody thought of is logged with its traceback (at most one a second of each name) and ends here;
    cancellation passes. `name` is one of few: what differs from time to time belongs into `fields`.
    """
    ended_well = True
    try:
        await work()
    except* Exception as group:  # noqa: BLE001 - this is the boundary
        ended_well = False
        _say(name, group, fields)
    return ended_well


def _say(name: str, group: BaseException, fields: dict[str, Any]) -> None:
    """Strangers may cause these as often as they like, so that they must not fill the log."""
    try:
        said = _said.get()
    except LookupError:
        _said.set(said := {})
    now = trio.current_time()
    last, unsaid = said.get(name, (-_PAUSE_S, 0))
    if now - last < _PAUSE_S:
        said[name] = (last, unsaid + 1)
        return
    said[name] = (now, 0)
    more = {"unsaid": unsaid} if unsaid else {}
    structlog.get_logger("paasd").error(f"{name} failed", traceback=traceback_of(group), **more, **fields)
