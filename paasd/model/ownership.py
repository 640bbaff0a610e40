"""Who normally acts: rendezvous hashing, so that all nodes agree without asking, and a loss moves only its own share.

It affects effort, never safety: operations check again, so two that act at once do no harm. Pure.
"""

import hashlib
from collections.abc import Iterable


def owner_of(subject: str, candidates: Iterable[str]) -> str | None:
    """The candidate (a node guid) that acts for `subject`; None when there is none."""
    return max(candidates, key=lambda node: weight(subject, node), default=None)


def ranked(subject: str, candidates: Iterable[str]) -> list[str]:
    """The candidates, the one that acts first, then who follows when it is away."""
    return sorted(candidates, key=lambda node: weight(subject, node), reverse=True)


def weight(subject: str, node: str) -> bytes:
    """Orders nodes by subject."""
    return hashlib.blake2b(f"{subject}\0{node}".encode(), digest_size=16).digest()
