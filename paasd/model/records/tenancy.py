"""Who may do what: organizations, spaces, users and the roles that tie them together."""

from paasd.model.records.resource import Resource


class Organization(Resource, table="organizations"):
    """A tenant. `deleting` hides it while its contents are taken away in chunks."""

    name: str
    suspended: bool = False
    deleting: bool = False
    quota_guid: str = "default"


class Space(Resource, table="spaces"):
    """A place for apps inside one organization."""

    name: str
    organization_guid: str
    allow_ssh: bool = True
    deleting: bool = False
    quota_guid: str | None = None


class User(Resource, table="users", secret=("password_hash",)):
    """A person or machine that can hold roles.

    Tokens issued before `not_before` (unix seconds) are refused. `scopes` are those beyond what every user has, such as
    `cloud_controller.admin`. `registered` says whether the Cloud Controller side was told about the user. One that is
    not `active` signs in nowhere; `version` counts the changes of the account.
    """

    username: str
    origin: str = "uaa"
    email: str = ""
    password_hash: str | None = None
    scopes: list[str] = []
    not_before: int = 0
    registered: bool = False
    active: bool = True
    version: int = 0


class Role(Resource, table="roles"):
    """One role of one user, in an organization or in a space; exactly one of the two guids is set."""

    type: str
    user_guid: str
    organization_guid: str | None = None
    space_guid: str | None = None
