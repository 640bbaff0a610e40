"""Who votes: 1, 3 or 5 control nodes whose etcd orders the writes of all, chosen over zones, changed without a stop.

`choosing` and `steps` decide and are pure; `Seat` is this node's member of etcd, open before the database;
`open_voting` makes its part true and, on one voter at a time, changes who votes.
"""

from paasd.voting.choosing import Candidate, choose_voters
from paasd.voting.opening import open_voting
from paasd.voting.seat import Seat, open_seat

__all__ = ["Candidate", "Seat", "choose_voters", "open_seat", "open_voting"]
