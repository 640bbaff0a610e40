"""Invitations: how people without a role get one."""

from paasd.model.records.resource import Resource


class Invitation(Resource, table="invitations", secret=("secret_hash",)):
    """An offer of roles to whoever shows the secret, once, until `expires_at` (unix seconds).

    `space_roles` are types by the guid of the space. `sent_at` is when a mail server took it, None if none did.
    """

    organization_guid: str
    address: str
    secret_hash: str
    organization_roles: list[str] = []
    space_roles: dict[str, list[str]] = {}
    invited_by: str
    inviter_guid: str
    expires_at: int
    sent_at: int | None = None
