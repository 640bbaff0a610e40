"""[auth.oidc.<name>]: providers at which people sign in who have their accounts elsewhere."""

from typing import Annotated, Literal

from msgspec import Meta

from paasd.config.section import Section


class OidcConfig(Section, frozen=True, kw_only=True):
    """[auth.oidc.<name>]: one OpenID Connect provider; <name> is the origin of its users."""

    issuer: Annotated[str, Meta(description="Issuer, such as https://id.example; https unless it is this machine.")]
    client_id: Annotated[str, Meta(description="The id that the provider gave to this platform.")]
    client_secret_file: Annotated[
        str, Meta(description="File with the secret that belongs to it; on every control node. Empty: a public client.")
    ] = ""
    label: Annotated[str, Meta(description="What people read on the sign-in page; empty takes the name.")] = ""
    scopes: Annotated[str, Meta(description="Scopes that are asked for.")] = "openid profile email"
    user_name_claim: Annotated[
        str,
        Meta(description="Claim that becomes the user name. A provider must not let people choose it freely."),
    ] = "preferred_username"
    second_factor: Annotated[
        Literal["never", "claimed", "always"],
        Meta(
            description="Whether its sign-in counts as one with a second factor: where the claim amr says mfa, or "
            "always, when the provider demands one from everybody."
        ),
    ] = "claimed"
    session_s: Annotated[
        int,
        Meta(ge=600, description="Seconds after signing in for which tokens are refreshed; then it is asked again."),
    ] = 86400
    register: Annotated[
        bool, Meta(description="Whether people without an account get one (without any role) when they sign in first.")
    ] = True
    ca_file: Annotated[
        str, Meta(description="PEM file with the authorities of the provider's certificate; empty: the system's.")
    ] = ""
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="Longest wait for the provider, in seconds.")] = 10.0
