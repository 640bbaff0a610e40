"""What instances have beyond what their process asks for by now.

Sizes change with the next restart: an instance keeps those of its own row until it is replaced. So what was scaled down
goes on to count until nothing larger runs, or a quota would hold as much as one likes.
"""

from typing import Any, Final

import msgspec

from paasd.model.records import Instance, Process
from paasd.state import Condition, Or, Outgrows, ReadTx

SIZES: Final = ("memory_mb", "disk_mb", "log_rate_limit_bytes")


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Of all instances together, beyond those of their processes. Unlimited logs are no number, and not in here."""

    memory_mb: int = 0
    disk_mb: int = 0
    log_rate_limit_bytes: int = 0


def held_by(tx: ReadTx, *conditions: Condition, **equals: Any) -> dict[str, Held]:
    """By the guid of the process, for those instances that satisfy all of it; processes that hold nothing are left out.

    Of an index that is being replaced the largest row counts; beyond the wanted number the scheduler takes all away.
    """
    larger = Or(*(Outgrows(size, Process, "process_guid") for size in SIZES))
    slots: dict[tuple[str, int], dict[str, int]] = {}
    processes: dict[str, Process] = {}
    for row in tx.all(Instance, larger, *conditions, **equals):
        if row.process_guid not in processes:
            processes[row.process_guid] = tx.need(Process, row.process_guid)
        process = processes[row.process_guid]
        if row.index >= process.instances:
            continue
        slot = slots.setdefault((process.guid, row.index), dict.fromkeys(SIZES, 0))
        for size in SIZES:
            if getattr(process, size) >= 0:  # an unlimited log rate is more than any
                slot[size] = max(slot[size], getattr(row, size) - getattr(process, size))
    found: dict[str, Held] = {}
    for (guid, _), sizes in slots.items():
        former = found.get(guid, Held())
        found[guid] = Held(**{size: getattr(former, size) + sizes[size] for size in SIZES})
    return {guid: held for guid, held in found.items() if held != Held()}
