"""One call of every operation, by topic: a new operation's goes into the module of what it is about."""

from tests.model.cases import accounts, applications, bits, cluster, places, routing, running, signing_in
from tests.model.cases.register import CASES

__all__ = ["CASES", "accounts", "applications", "bits", "cluster", "places", "routing", "running", "signing_in"]
