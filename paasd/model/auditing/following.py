"""Follows a chain event by event and says, in words, where it does not hold. Pure: for rows and for exported files."""

from typing import Any

import msgspec

from paasd.model.auditing.chain import digest, link


class Follower:
    """Where a chain is: number and hash of the event before the next one. It begins after `sequence`."""

    def __init__(self, sequence: int, hash: str) -> None:
        self.sequence = sequence
        self.hash = hash

    def follow(self, sequence: int, hash: str, content: dict[str, Any]) -> str | None:
        """What is wrong with the next event, None when it fits."""
        due = self.sequence + 1
        if sequence > due:
            return missing(due, sequence - 1)
        if sequence < due:
            return f"event {sequence} stands in the chain more than once: {described(content)}"
        if link(self.hash, sequence, digest(content)) != hash:
            return (
                f"event {sequence} does not fit what came before it, so it was changed, or put in place of another: "
                f"{described(content)}"
            )
        self.sequence, self.hash = sequence, hash
        return None

    def end(self, sequence: int, hash: str) -> str | None:
        """What is wrong with the end, when the head of the chain says that this is its newest event."""
        if sequence > self.sequence:
            return missing(self.sequence + 1, sequence)
        if sequence < self.sequence:
            return f"the head of the chain is event {sequence}, yet there are events up to {self.sequence}"
        if hash != self.hash:
            return f"the head of the chain has another hash than event {sequence}: one of the two was changed"
        return None


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Number and hash of an event, as kept somewhere else; written `NUMBER:HASH`."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


def missing(first: int, last: int) -> str:
    """How a gap is called."""
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def described(content: dict[str, Any]) -> str:
    """An event in a few words."""
    at, kind, by = (content.get(name, "?") for name in ("created_at", "type", "actor_name"))
    target = content.get("target_name") or content.get("target_guid", "?")
    return f"{kind} of {target} by {by} at {at}"
