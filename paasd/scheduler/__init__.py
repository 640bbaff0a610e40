"""Gives wanted instances and builds their nodes, and sees to it that nothing is left open.

`placement` and `desired` are pure: rows in, decisions out. `reconcile` reads a snapshot, decides and writes operations
that check everything again. `open_scheduler()` does so whenever something changes and once a period;
`open_housekeeping()` takes away what is past its time.
"""

from paasd.scheduler.housekeeping import open_housekeeping
from paasd.scheduler.placement import Demand, Failure, NodeCapacity, Placed, place
from paasd.scheduler.scheduler import Scheduler, open_scheduler

__all__ = ["Demand", "Failure", "NodeCapacity", "Placed", "Scheduler", "open_housekeeping", "open_scheduler", "place"]
