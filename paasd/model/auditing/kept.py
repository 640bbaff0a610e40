"""Heads of a chain that were kept elsewhere, against the chain as it is now: what finds one that was made anew."""

from collections.abc import Iterable

from paasd.model.auditing.following import Head


class Kept:
    """Numbers, and the hashes that each was said to have: of two for one event, at most one is right."""

    def __init__(self, heads: Iterable[Head]) -> None:
        self._hashes: dict[int, set[str]] = {}
        for head in heads:
            self._hashes.setdefault(head.sequence, set()).add(head.hash)

    def compare(self, sequence: int, hash: str) -> str | None:
        """What is wrong with an event that has this hash now."""
        other = min(self._hashes.get(sequence, set()) - {hash}, default=None)
        if other is None:
            return None
        return (
            f"event {sequence} has another hash than the one that was kept elsewhere ({other}): "
            "the chain was made anew, up to there or further"
        )

    def beyond(self, sequence: int) -> int | None:
        """The first one that comes after the end of the chain."""
        return min((one for one in self._hashes if one > sequence), default=None)

    def before(self, sequence: int) -> list[int]:
        """Those that are older than what the chain begins with: nothing is left to compare them with."""
        return sorted(one for one in self._hashes if one < sequence)
