"""Which node to ask about the log. Pure."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

FORGIVE_S: Final = 5.0
"""How long a node that did not answer is asked last."""


class Voter(msgspec.Struct, frozen=True):
    """A node that has the log, and its zone such as `aws/eu-west-2a`."""

    guid: str
    zone: str = ""


def in_order(
    voters: Sequence[Voter], own_guid: str, zone: str, failed_at: Mapping[str, float], now: float
) -> list[Voter]:
    """Those that answered lately first; of them the same zone first, then the same cloud; each node begins with another
    one, so that the voters share the followers.
    """

    def rank(voter: Voter) -> tuple[bool, int, int]:
        failed = now - failed_at.get(voter.guid, -FORGIVE_S) < FORGIVE_S
        return failed, _distance(zone, voter.zone), zlib.crc32(f"{own_guid} {voter.guid}".encode())

    return sorted((voter for voter in voters if voter.guid != own_guid), key=rank)


def _distance(one: str, other: str) -> int:
    if one == other:
        return 0
    return 1 if one.partition("/")[0] == other.partition("/")[0] else 2
