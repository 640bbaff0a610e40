"""How people and pipelines sign in: deploy tokens, second factors, passcodes, identities at other providers."""

from paasd.model.records.resource import Resource
from paasd.state import Record


class DeployToken(Resource, table="deploy_tokens", label="Deploy token", secret=("secret_hash",)):
    """What a pipeline signs in with: a user of its own with one role in one place, until `expires_at` (unix seconds).

    Its guid is that of the user, whose origin is `deploy-token`. Without a `space_guid` it is for the whole
    organization. It counts only as long as `maker_guid` could make it. `last_used_on` is a day, empty for never.
    """

    name: str
    secret_hash: str
    role: str
    organization_guid: str
    space_guid: str | None = None
    maker_guid: str
    maker_name: str
    with_factor: bool = False
    expires_at: int
    last_used_on: str = ""


class SecondFactor(
    Record,
    table="second_factors",
    key=("user_guid",),
    label="Second factor",
    secret=("sealed_secret", "recovery_hashes"),
):
    """The secret that a user shares with an authenticator. Not `confirmed` before its first code was seen.

    `last_step` is the newest period of 30 s of which a code was taken: none counts twice.
    """

    user_guid: str
    created_at: str = ""
    updated_at: str = ""
    sealed_secret: str
    confirmed: bool = False
    last_step: int = 0
    recovery_hashes: list[str] = []


class FactorDemand(Record, table="factor_demands", key=("organization_guid",)):
    """That an organization is shown only to those who signed in with a second factor."""

    organization_guid: str
    created_at: str = ""


class Passcode(Record, table="passcodes", key=("code_hash",), secret=("code_hash",)):
    """A code that somebody who is signed in carries to a client. It counts once; times are unix seconds.

    The session that it begins counts from `signed_in_at`; 0 is when it is used.
    """

    code_hash: str
    created_at: str = ""
    user_guid: str
    with_factor: bool = False
    expires_at: int
    signed_in_at: int = 0


class ExternalIdentity(Record, table="external_identities", key=("origin", "subject")):
    """Whom a provider means by `subject`: a name that it never gives to anybody else."""

    origin: str
    subject: str
    created_at: str = ""
    user_guid: str
