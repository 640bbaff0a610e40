"""What a node's core wants done, and what it asks of the records that ride along."""

from typing import Protocol

import msgspec

from paasd.observed import Delta, Holding, Reachability


class Send(msgspec.Struct, frozen=True):
    """One datagram, to be sealed for `target`."""

    target: str
    payload: bytes


class StandingChanged(msgspec.Struct, frozen=True):
    """A member is held for something else than before."""

    guid: str
    now: Reachability


class Compare(msgspec.Struct, frozen=True):
    """`partner` knows something that has not come here, or has been away: compare everything with it."""

    partner: str


class Quarantined(msgspec.Struct, frozen=True):
    """So much garbage came from this node that its news is not taken for a while."""

    guid: str
    example: str


Effect = Send | StandingChanged | Compare | Quarantined


class Datagram(msgspec.Struct, frozen=True):
    """An opened datagram. `via` is the member that has the address it came from, if there is one."""

    payload: bytes
    stream: bytes
    number: int
    via: str | None = None


class Records(Protocol):
    """The observed records, as far as gossip carries them."""

    @property
    def sequence(self) -> int:
        """The number of this node's newest change."""

    def holding(self, owner: str) -> Holding | None:
        """How much is known of a node."""

    def is_behind(self, holding: Holding) -> bool:
        """Whether somebody knows more than is known here."""

    def take(self, delta: Delta) -> bool:
        """A change; whether it was news."""
