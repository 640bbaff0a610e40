"""Keys and authorities are changed without a node losing touch: each step waits until all are ready for it. Those that
come to their end are changed in time by themselves.

`steps.py` decides from rows and from what nodes say that they have; `turning.py` carries that out, on the one control
node that acts for it; `root.py` gives another root key to all control nodes and then makes it count.
"""

from paasd.membership.rotation.root import RootKeeper, find_root_key
from paasd.membership.rotation.steps import (
    Holding,
    Ready,
    Resting,
    Waiting,
    authority_step,
    gossip_step,
    holdings,
    is_due,
)
from paasd.membership.rotation.turning import Rotation, open_rotation

__all__ = [
    "Holding",
    "Ready",
    "Resting",
    "RootKeeper",
    "Rotation",
    "Waiting",
    "authority_step",
    "find_root_key",
    "gossip_step",
    "holdings",
    "is_due",
    "open_rotation",
]
