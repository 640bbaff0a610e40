"""Who is asking, as every action sees it."""

from collections.abc import Iterable

import msgspec

ADMIN_SCOPE = "cloud_controller.admin"
ADMIN_READ_ONLY = "cloud_controller.admin_read_only"
GLOBAL_AUDITOR = "cloud_controller.global_auditor"
ADMIN_SCOPES: tuple[str, ...] = (
    ADMIN_SCOPE,
    "cloud_controller.read",
    "cloud_controller.write",
    "doppler.firehose",
    "network.admin",
    "openid",
    "password.write",
    "routing.router_groups.read",
    "scim.read",
    "scim.write",
    "uaa.admin",
    "uaa.user",
)
USER_SCOPES: tuple[str, ...] = (
    "cloud_controller.read",
    "cloud_controller.write",
    "network.write",
    "openid",
    "password.write",
    "uaa.user",
)


DEPLOY_TOKEN = "deploy-token"
"""The origin of the users that deploy tokens are."""


PLATFORM_NAMES = frozenset({"root", "paasd", "system"})
"""How events name root on a node and the platform itself; no client and no user may have such an id."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The authenticated party of one request.

    `user_guid` is the user's guid, or the client id when a client acts for itself. `admin` stands for the scope
    cloud_controller.admin; the peer of the root-owned Unix socket has it too, and that one alone is `root`.
    `hidden_organizations` (guids) demand a second factor, which `with_factor` says was shown: what is in them is not
    there for a caller without. `signed_in_at` (unix seconds) is when a person last proved who they are, which
    refreshing does not do; 0 for others. `address` and `request_id` say from where this request came; empty for what
    no request asked for. `signature` changes when what was signed in with stops to count; a token does at `expires_at`
    (unix seconds, 0: what does not expire).
    """

    user_guid: str
    username: str
    admin: bool = False
    scopes: tuple[str, ...] = USER_SCOPES
    client: str = "cf"
    origin: str = "uaa"
    with_factor: bool = False
    hidden_organizations: tuple[str, ...] = ()
    signed_in_at: int = 0
    root: bool = False
    signature: str = ""
    expires_at: int = 0
    address: str = ""
    request_id: str = ""

    @property
    def sees_everything(self) -> bool:
        """Whether all organizations are visible: to administrators, also those who only read, and global auditors."""
        return self.admin or ADMIN_READ_ONLY in self.scopes or GLOBAL_AUDITOR in self.scopes

    def narrowed(self, scopes: Iterable[str]) -> "Caller":
        """The caller with those of `scopes` that it has: a token is good for what it was asked for, and for no more
        than whom it stands for still has.
        """
        left = set(scopes)
        granted = tuple(scope for scope in self.scopes if scope in left)
        return msgspec.structs.replace(self, scopes=granted, admin=self.admin and ADMIN_SCOPE in granted)

    @property
    def actor_type(self) -> str:
        """The kind of actor that audit events name."""
        if self.origin == DEPLOY_TOKEN:
            return "deploy_token"
        return "user" if self.client != self.user_guid else "client"


def system_caller(name: str = "paasd") -> Caller:
    """The platform itself, for work that no person asked for."""
    return Caller(user_guid=name, username=name, admin=True, scopes=ADMIN_SCOPES, client=name)


def root_caller() -> Caller:
    """The peer of the Unix socket whose uid is 0."""
    return Caller(user_guid="root", username="root", admin=True, scopes=ADMIN_SCOPES, client="root", root=True)


def client_caller(client_id: str, scopes: tuple[str, ...], secret_revision: str) -> Caller:
    """An OAuth client for itself: a program, of which nobody asks a second factor."""
    return Caller(
        user_guid=client_id,
        username=client_id,
        admin=ADMIN_SCOPE in scopes,
        scopes=scopes,
        client=client_id,
        with_factor=True,
        signature=secret_revision,
    )
