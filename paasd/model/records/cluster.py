"""What makes several nodes one platform: who may join, whose certificates count, and what must run once."""

from paasd.model.records.resource import Resource
from paasd.state import Record


class JoinToken(Record, table="join_tokens", key=("id",), label="Join token", secret=("secret_hash",)):
    """Lets new nodes join. The secret itself is nowhere; `expires_at` in unix seconds."""

    id: str
    created_at: str = ""
    secret_hash: str
    role: str
    zone: str | None = None
    uses_left: int
    used_by: list[str] = []
    expires_at: int
    created_by: str


class Authority(Resource, table="authorities", secret=("sealed_key",)):
    """A certificate authority. `purpose` is nodes (between nodes), public (what clients see) or etcd (voters alone);
    or ssh: then it is a host key, and `certificate` its public half as in known_hosts.

    TRUSTED ones are believed, the SIGNING one of a purpose signs too, RETIRED ones are neither.
    """

    purpose: str
    certificate: str
    sealed_key: str
    state: str = "TRUSTED"


class GossipKey(Record, table="gossip_keys", key=("id",), secret=("sealed",)):
    """A key of the gossip ring: KNOWN ones open datagrams, the SENDING one seals them too."""

    id: str
    created_at: str = ""
    sealed: str
    state: str = "KNOWN"


class Lease(Record, table="leases", key=("slot",)):
    """The right of a node to run what must run once, for `duration_s` from before its last renewal."""

    slot: str
    created_at: str = ""
    node_guid: str
    epoch: int
    duration_s: float
    renewals: int = 0
