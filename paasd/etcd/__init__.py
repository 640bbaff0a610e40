"""etcd as paasd uses it: a supervised child on the nodes that vote, and a small client of its API.

`Member` starts, finds again and stops the process; `open_client` calls whichever member answers, over TLS with a
certificate that only voters have. What is kept in it, and what its answers mean, is `state/log/etcd.py`'s business.
"""

from paasd.etcd.channel import Lost, Refused, Unreachable
from paasd.etcd.client import Client, open_client
from paasd.etcd.command import MemberSpec, check_version, election_ms, find_etcd, member_url
from paasd.etcd.connecting import Address
from paasd.etcd.member import Member

__all__ = [
    "Address",
    "Client",
    "Lost",
    "Member",
    "MemberSpec",
    "Refused",
    "Unreachable",
    "check_version",
    "election_ms",
    "find_etcd",
    "member_url",
    "open_client",
]
