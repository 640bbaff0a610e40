"""The authority that clients trust, on a node that is alone: ten years go by, and nobody has to do anything but fetch
ca.pem in the half year in which it holds two.
"""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import trio
import trio.testing
from cryptography import x509

from paasd import pki
from paasd.actions.findings import problems
from paasd.actions.upkeep import authority_problems
from paasd.config import PeerConfig
from paasd.membership.book import Book
from paasd.membership.files import MemberFiles
from paasd.membership.rotation import Resting, RootKeeper, Rotation, open_rotation
from paasd.model import Authority
from paasd.model.rotation import authority_ends
from paasd.node.authorities import follow_rows
from paasd.peer import open_peers
from paasd.router.certificates import Certificates, open_certificates
from paasd.state import InlineRunner, open_database
from paasd.state.sealing import RootKeys, open_sealer
from tests.actions.test_upkeep import NOW_S, platform

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86400.0


def trusted(certificates: Certificates) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(certificates.authority_path.read_bytes())


def leaf(certificates: Certificates) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificates.pairs["apps"].certificate)


async def test_the_authority_of_the_domains_is_followed_in_time_and_every_certificate_is_believed(
    tmp_path: Path,
) -> None:
    days = 0.0

    def now() -> datetime:
        return BEGAN + timedelta(days=days)

    certificates = open_certificates(tmp_path / "tls", "apps.test", "system.test", clock=now)
    (first,) = trusted(certificates)
    seen = 0
    opening = open_database(tmp_path, node="a", random=Random(1), runner=InlineRunner(), sync=False)
    async with opening as database, open_peers(PeerConfig(), "a", lambda _: None, clock=time.time) as peers:
        sealer = await open_sealer(database, keys := RootKeys(tmp_path))
        keeper = RootKeeper(database, keys, peers, Book(MemberFiles(tmp_path), "a"))
        rotation = Rotation(
            database, sealer, keeper, dict, lambda _: True, lambda: certificates.authority, lambda: now().timestamp()
        )
        told: list[float] = []
        while days < 3650 + 400:
            async with open_rotation(rotation):  # which looks at its start, and then hourly
                await trio.testing.wait_all_tasks_blocked(0.01)
            follow_rows(database, sealer, certificates)
            certificates.renew()
            present = trusted(certificates)
            assert any(pki.issued_by(leaf(certificates), one) for one in present)
            assert leaf(certificates).not_valid_after_utc > now() + timedelta(days=29)
            assert all(one.not_valid_after_utc > now() for one in present)
            seen = max(seen, len(present))
            if any(isinstance(step, Resting) for step in rotation.steps()):
                told.append(days)
            with database.read() as tx:
                ends = authority_ends(tx)
            assert authority_problems(ends, now().timestamp()) == []
            days += 45
        with database.read() as tx:
            assert sorted(row.state for row in tx.all(Authority)) == ["RETIRED", "SIGNING"]
    assert seen == 2
    assert told == [3330, 3375, 3420, 3465, 3510], "from a year before the end, for half a year"
    (last,) = trusted(certificates)
    assert last != first and pki.issued_by(leaf(certificates), last)
    again = open_certificates(tmp_path / "tls", "apps.test", "system.test", clock=now)
    assert again.pairs == certificates.pairs and again.authority == certificates.authority


async def test_status_says_it_when_an_authority_was_not_followed() -> None:
    (said,) = problems(platform(authorities={"the platform's domains": NOW_S + 50.5 * DAY_S}))
    assert said.startswith("the authority of the platform's domains ends in 50 days and the next one does not sign yet")
    assert "`paasd keys status`" in said
    (said,) = problems(platform(authorities={"etcd's certificates": NOW_S - 1}))
    assert "has ended" in said
    assert problems(platform(authorities={"etcd's certificates": NOW_S + 91 * DAY_S})) == []


def test_a_worker_asks_for_certificates_of_the_authority_that_signs(tmp_path: Path) -> None:
    def at(folder: str, *, authority: bool) -> Certificates:
        return open_certificates(
            tmp_path / folder, "apps.test", "system.test", clock=lambda: BEGAN, authority=authority
        )

    one, worker = at("control", authority=True), at("worker", authority=False)
    assert set(worker.wanted()) == {"apps", "system"}
    for name, pair in one.pairs.items():
        worker.store(name, pair)
    assert worker.believe([one.authority.certificate], None) and worker.wanted() == {}
    following = pki.make_authority("public", BEGAN)
    assert worker.believe([one.authority.certificate, following.certificate], None) and worker.wanted() == {}
    assert not worker.believe([one.authority.certificate, following.certificate], None)
    assert worker.believe([following.certificate, one.authority.certificate], None)
    assert set(worker.wanted()) == {"apps", "system"}
    assert not worker.shown(following.certificate) and worker.shown(one.authority.certificate)
