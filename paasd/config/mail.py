"""[mail]: how the platform sends mail."""

from typing import Annotated, Literal

from msgspec import Meta

from paasd.config.section import Section


class MailConfig(Section, frozen=True, kw_only=True):
    """[mail]: the server that takes what the platform sends to people; without one it sends nothing."""

    host: Annotated[str, Meta(description="Name of the SMTP server; empty sends no mail.")] = ""
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port; 465 is usual for tls, 25 for none.")] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="How the connection is secured; none is for a relay on the same machine."),
    ] = "starttls"
    ca_file: Annotated[
        str, Meta(description="Certificate of the authority that certified the server; empty takes the system's.")
    ] = ""
    username: Annotated[str, Meta(description="Who signs in there; empty does without.")] = ""
    password_file: Annotated[str, Meta(description="File with the password, readable by paasd alone.")] = ""
    sender: Annotated[str, Meta(description="Address that mail comes from.")] = "paasd@localhost"
    timeout_s: Annotated[float, Meta(gt=0, le=60, description="Seconds that a server may take to answer.")] = 10.0
