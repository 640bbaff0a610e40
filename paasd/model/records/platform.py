"""The platform's own book-keeping: jobs, settings, signing keys, audit events."""

from typing import Any

import msgspec

from paasd.model.records.resource import Resource
from paasd.state import Record


class JobError(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a failed job, in the form of an API error."""

    code: int
    title: str
    detail: str


class Job(Resource, table="jobs"):
    """Something that a client polls: PROCESSING, POLLING, COMPLETE or FAILED; FAILED at the deadline at the latest.

    `user_guid` is who started it: they may watch it even when its resource is gone.
    """

    operation: str
    state: str = "PROCESSING"
    resource_type: str | None = None
    resource_guid: str | None = None
    errors: list[JobError] = []
    warnings: list[str] = []
    owner_node_guid: str | None = None
    epoch: int = 0
    deadline_at: str
    user_guid: str | None = None


class SigningKey(Record, table="signing_keys", secret=("sealed_private",)):
    """A token-signing key; times in unix seconds. Published before `active_from`, kept until its last token is dead."""

    guid: str = ""
    created_at: str = ""
    kid: str
    sealed_private: str
    public_jwk: dict[str, Any]
    active_from: int
    expires_at: int


class Setting(Record, table="settings", key=("name",)):
    """A platform-wide value that operators or first start set, by name."""

    name: str
    value: str
    updated_at: str = ""


class AuditEvent(Resource, table="audit_events"):
    """Who did what to what, from where. `data` never holds secrets.

    `address`, `client` (of OAuth) and `request_id` are empty for what the platform did by itself. The numbers and
    hashes are its places in two chains (paasd/model/auditing); 0 is an event from before there were any.
    """

    type: str
    actor_guid: str
    actor_type: str
    actor_name: str
    target_guid: str
    target_type: str
    target_name: str
    space_guid: str | None = None
    organization_guid: str | None = None
    data: dict[str, Any] = {}
    address: str = ""
    client: str = ""
    request_id: str = ""
    sequence: int = 0
    hash: str = ""
    organization_sequence: int = 0
    organization_hash: str = ""


class AuditChain(Record, table="audit_chains", key=("scope",)):
    """How far a chain of audit events is, and where it begins by now. `scope` is platform or an organization's guid.

    `former` counts the events from before there were chains that are still kept.
    """

    scope: str
    created_at: str = ""
    sequence: int = 0
    hash: str = ""
    trimmed_sequence: int = 0
    trimmed_hash: str = ""
    former: int = 0
