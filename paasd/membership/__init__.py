"""Being a member: tokens that let nodes join, certificates between nodes, and what each node keeps of both.

`Membership` is this node's side while it runs, `join` the command on a new machine, `parse_token` reads what
people type. The first token opens the cluster; a node that never made one has no port open for others.
"""

from paasd.membership.book import Book
from paasd.membership.doors import SKEW_LIMIT_S
from paasd.membership.files import MemberFile, MemberFiles, Place, Ports
from paasd.membership.joining import Machine, join
from paasd.membership.membership import Membership, open_membership
from paasd.membership.messages import RingKey
from paasd.membership.opening import choose_ports
from paasd.membership.removal import Removal, Removed, note_removal, read_removal, remember_removal
from paasd.membership.tokens import BadToken, Token, parse_token

__all__ = [
    "SKEW_LIMIT_S",
    "BadToken",
    "Book",
    "Machine",
    "MemberFile",
    "MemberFiles",
    "Membership",
    "Place",
    "Ports",
    "Removal",
    "Removed",
    "RingKey",
    "Token",
    "choose_ports",
    "join",
    "note_removal",
    "open_membership",
    "parse_token",
    "read_removal",
    "remember_removal",
]
