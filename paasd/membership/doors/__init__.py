"""What a control node answers: to strangers who want to join, and to members about certificates and keys."""

from paasd.membership.doors.joins import SKEW_LIMIT_S, Refused, serve_joins
from paasd.membership.doors.members import serve_members
from paasd.membership.doors.vault import Vault, gossip_context

__all__ = ["SKEW_LIMIT_S", "Refused", "Vault", "gossip_context", "serve_joins", "serve_members"]
