"""Certificates of etcd. Its own authority, because etcd lets in whoever shows a certificate of the one it trusts.

Control nodes can open the authority's key and issue only to themselves, and only while their row gives them a vote.
"""

import ipaddress
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from cryptography import x509

from paasd import pki
from paasd.errors import Unavailable
from paasd.model import Authority
from paasd.model.membership import authority_context
from paasd.model.rotation import believed
from paasd.model.voting import ETCD_AUTHORITY, AddEtcdAuthority, add_etcd_authority
from paasd.pki import KeyPair
from paasd.state import Database

LIFE: Final = timedelta(hours=24)
LOOPBACK: Final = "127.0.0.1"


class Sealing(Protocol):
    """As `paasd.state.sealing.Sealer`."""

    def seal(self, secret: bytes, context: str) -> str: ...

    def open(self, sealed: str, context: str) -> bytes: ...


class EtcdAuthority:
    """The authority in the rows, opened with this node's keys."""

    def __init__(self, database: Database, sealer: Sealing) -> None:
        self._database = database
        self._sealer = sealer

    def believed(self) -> list[Authority]:
        """Those that count, oldest first."""
        with self._database.read() as tx:
            return believed(tx, ETCD_AUTHORITY)

    def trusted(self) -> bytes:
        """Their certificates, PEM, one after the other."""
        return b"".join(row.certificate.encode() for row in self.believed())

    def signing(self) -> KeyPair:
        """Raises Unavailable while there is none."""
        for row in self.believed():
            if row.state == "SIGNING":
                key = self._sealer.open(row.sealed_key, authority_context(row.guid))
                return KeyPair(row.certificate.encode(), key)
        raise Unavailable("there is no authority for etcd yet")

    async def ensure(self, now_s: float) -> None:
        """Make it, unless there is one."""
        with self._database.read() as tx:
            if tx.exists(Authority, purpose=ETCD_AUTHORITY, state="SIGNING"):
                return
        pair, guid = pki.make_authority("etcd", datetime.fromtimestamp(now_s, UTC)), str(uuid.uuid4())
        row = Authority(
            guid=guid,
            purpose=ETCD_AUTHORITY,
            certificate=pair.certificate.decode(),
            sealed_key=self._sealer.seal(pair.key, authority_context(guid)),
            state="SIGNING",
        )
        await self._database.write(add_etcd_authority, AddEtcdAuthority(authority=row))


def issue(authority: KeyPair, guid: str, addresses: list[str], now_s: float) -> KeyPair:
    """A certificate of a member, for both sides of its connections, good for a day."""
    key = pki.new_key()
    names = [_general_name(address) for address in dict.fromkeys([*addresses, LOOPBACK])]
    now = datetime.fromtimestamp(now_s, UTC)
    return KeyPair(pki.issue(authority, pki.request(key), guid, names, now, LIFE, client=True), key)


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
