"""Who of the members is reachable, and the spread of what nodes observe: SWIM with Lifeguard over sealed datagrams.

Members are rows; gossip only says of each whether it is alive, suspect or unreachable, and never that it is dead.
`swim/` is the pure core, `wire/` what goes over the network, `sync.py` the comparison of everything with one node;
`open_gossip` puts a socket, a clock and peer calls around them.
"""

from paasd.gossip.service import About, Gossip, Member, open_gossip
from paasd.gossip.wire.sealing import RingKey

__all__ = ["About", "Gossip", "Member", "RingKey", "open_gossip"]
