"""Mail to people, by way of a server that the operator names. In a thread: smtplib blocks."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Final

import trio

from paasd.config import MailConfig
from paasd.rate import Buckets

GRACE_S = 5.0
# What the people of one organization may have mailed by one node: to one address, and altogether.
ADDRESS_PER_H: Final = 3
ORGANIZATION_PER_H: Final = 60
REMEMBERED: Final = 10_000


class Postage:
    """Keeps invitations from being a way to flood somebody. In memory: a restart, or another node, begins anew.

    Addresses count within their organization: nobody learns whom others write to.
    """

    def __init__(self) -> None:
        self._addresses = Buckets(ADDRESS_PER_H / 3600, ADDRESS_PER_H, REMEMBERED)
        self._organizations = Buckets(ORGANIZATION_PER_H / 3600, ORGANIZATION_PER_H, REMEMBERED)

    def refusal(self, organization_guid: str, address: str, now: float) -> str | None:
        """Why no mail may go out at `now` (seconds), or None: then it counts."""
        if not self._addresses.take(f"{organization_guid} {address.lower()}", now):
            return f"{address} was sent {ADDRESS_PER_H} invitations within an hour; try again in a while"
        if not self._organizations.take(organization_guid, now):
            return f"The organization sent {ORGANIZATION_PER_H} invitations within an hour; try again in a while"
        return None


def can_send(config: MailConfig, address: str) -> bool:
    """Whether there is a server, and the address is one."""
    return bool(config.host) and "@" in address


async def send(config: MailConfig, address: str, subject: str, text: str) -> str | None:
    """None when the server took it, else why not, in words for a person."""
    message = EmailMessage()
    try:
        message["From"], message["To"] = config.sender, address
        message["Subject"] = " ".join(subject.split())  # names may have line breaks, which no header has
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=config.sender.rpartition("@")[2])
        message.set_content(text)
    except ValueError as error:  # line breaks in a header
        return f"the address is not one: {error}"
    with trio.move_on_after(config.timeout_s + GRACE_S):
        return await trio.to_thread.run_sync(_send, config, message, abandon_on_cancel=True)
    return f"{config.host} did not answer within {config.timeout_s:g} s"


def _connected(config: MailConfig, tls: ssl.SSLContext) -> smtplib.SMTP:
    if config.security == "tls":
        return smtplib.SMTP_SSL(config.host, config.port, timeout=config.timeout_s, context=tls)
    return smtplib.SMTP(config.host, config.port, timeout=config.timeout_s)


def _send(config: MailConfig, message: EmailMessage) -> str | None:
    try:
        tls = ssl.create_default_context(cafile=config.ca_file or None)
        with _connected(config, tls) as server:
            if config.security == "starttls":
                server.starttls(context=tls)
            if config.username:
                server.login(config.username, Path(config.password_file).read_text().strip())
            server.send_message(message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        return f"{config.host}:{config.port} did not take it: {error}"[:300]
    return None
