"""Who may do what: organizations, spaces, users and the roles that tie them together."""

from paasd.state import Record


class Organization(Record, table="organizations"):
    """A tenant. `deleting` hides it while its contents are taken away in chunks."""

    guid: str
    created_at: str
    updated_at: str
    name: str
    suspended: bool = False
    deleting: bool = False


class Space(Record, table="spaces"):
    """A place for apps inside one organization."""

    guid: str
    created_at: str
    updated_at: str
    name: str
    organization_guid: str
    allow_ssh: bool = True
    deleting: bool = False


class User(Record, table="users"):
    """A person or machine that can hold roles. `not_before` and `locked_until` are unix seconds.

    Tokens issued before `not_before` are refused. `scopes` are those beyond what every user has, such as
    `cloud_controller.admin`. `registered` says whether the Cloud Controller side was told about the user.
    """

    guid: str
    created_at: str
    updated_at: str
    username: str
    origin: str = "uaa"
    email: str = ""
    password_hash: str | None = None
    scopes: list[str] = []
    not_before: int = 0
    failed_logins: int = 0
    locked_until: int = 0
    registered: bool = False


class Role(Record, table="roles"):
    """One role of one user, in an organization or in a space (then `organization_guid` is that of the space)."""

    guid: str
    created_at: str
    updated_at: str
    type: str
    user_guid: str
    organization_guid: str | None = None
    space_guid: str | None = None
