"""What instances may reach: security groups and network policies, from rows into the kernel of this node.

`groups` and `calls` are pure: rules as the network takes them. `open_reach` gives a `Reach`, which keeps the shared
rules of `sandbox/network` equal to the rows, also for instances that run, and is asked before a container is made. It
tells the router which addresses stand for which apps, and fills `Names`, which the resolver asks.
"""

from paasd.reach.names import Names, NotReady
from paasd.reach.reach import Reach, open_reach

__all__ = ["Names", "NotReady", "Reach", "open_reach"]
