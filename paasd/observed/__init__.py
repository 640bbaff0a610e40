"""Node-owned facts about instances: state, address, usage. In memory only, never in the log.

Only the node that a fact is about writes it. Readers take the whole picture and are woken to take it again:
a lost wake-up costs one period, never correctness. `Observed` is the store, `InstanceFact` and `Usage` its records.
"""

from paasd.observed.facts import InstanceFact, InstanceState, Usage
from paasd.observed.store import Observed, Watch

__all__ = ["InstanceFact", "InstanceState", "Observed", "Usage", "Watch"]
