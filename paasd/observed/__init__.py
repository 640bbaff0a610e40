"""Node-owned facts about instances and nodes: state, address, usage, reachability. In memory only, never in the log.

Only the node that a fact is about writes it; it reaches the others as a numbered change, or in bulk when they compare
what they hold (`ledger.py`). Readers take the whole picture and are woken to take it again: a lost wake-up costs one
period, never correctness. `Observed` is the store, `InstanceFact`, `NodeFact` and `Usage` its records.
"""

from paasd.observed.facts import ABOUT, InstanceFact, InstanceState, NodeFact, Usage
from paasd.observed.ledger import Batch, Change, Delta, Holding
from paasd.observed.store import Observed, Reachability, Watch

__all__ = [
    "ABOUT",
    "Batch",
    "Change",
    "Delta",
    "Holding",
    "InstanceFact",
    "InstanceState",
    "NodeFact",
    "Observed",
    "Reachability",
    "Usage",
    "Watch",
]
