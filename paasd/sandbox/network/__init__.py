"""Network of instances: a namespace, a routed veth pair and a closed policy for each, all under the node's prefix.

`open_network` gives a `Network`; `attach` makes everything for a slot, `detach` takes it away, `sweep` removes what
nobody knows. Attachments outlive the daemon: the kernel is the record, and a new daemon reads it back.
"""

from paasd.sandbox.network.egress import PUBLIC, PUBLIC_EGRESS, EgressRule
from paasd.sandbox.network.network import Attachment, Network, open_network
from paasd.sandbox.network.policies import Call, GroupRule, Policies
from paasd.sandbox.network.rules import LINK_ADDRESS

__all__ = [
    "LINK_ADDRESS",
    "PUBLIC",
    "PUBLIC_EGRESS",
    "Attachment",
    "Call",
    "EgressRule",
    "GroupRule",
    "Network",
    "Policies",
    "open_network",
]
