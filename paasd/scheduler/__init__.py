"""Gives wanted instances and builds their nodes, says which nodes are dead, and sees to it that nothing is left open.

`placement`, `desired`, `slots`, `liveness` and `brakes` are pure: rows and facts in, decisions out. `open_scheduler()`
and `open_liveness()` read, decide and write operations that check everything again; `open_housekeeping()` takes away
what is past its time. Of all nodes the one acts that `make_acts` names.
"""

from paasd.scheduler.absorbing import not_absorbed
from paasd.scheduler.housekeeping import open_housekeeping
from paasd.scheduler.placement import Demand, Failure, NodeCapacity, Placed, place
from paasd.scheduler.scheduler import Scheduler, open_scheduler
from paasd.scheduler.sight import Acts, Sight, always, make_acts
from paasd.scheduler.watching import open_liveness

__all__ = [
    "Acts",
    "Demand",
    "Failure",
    "NodeCapacity",
    "Placed",
    "Scheduler",
    "Sight",
    "always",
    "make_acts",
    "not_absorbed",
    "open_housekeeping",
    "open_liveness",
    "open_scheduler",
    "place",
]
