"""A seat certifies itself: in time while it runs, and before anything else after it was off for days."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from paasd import pki
from paasd.errors import PaasdError
from paasd.etcd import MemberSpec
from paasd.voting import open_seat
from paasd.voting.seat import SeatRecord, own_address

HOUR_S = 3600.0
NOW_S = 1_800_000_000.0


def spec(listen: str = "0.0.0.0") -> MemberSpec:
    return MemberSpec(
        name="a",
        log_id="one",
        address="node-a.example.org",
        listen=listen,
        client_port=7402,
        peer_port=7403,
        cluster={},
        state="new",
    )


def authority() -> pki.KeyPair:
    return pki.make_authority("etcd", datetime.fromtimestamp(NOW_S, UTC))


async def test_a_certificate_is_renewed_at_half_of_its_life_or_for_another_authority(tmp_path: Path) -> None:
    now_s = NOW_S
    async with open_seat(tmp_path / "etcd", "a", clock=lambda: now_s) as seat:
        first, second = authority(), authority()
        assert seat.certify(first, first.certificate, spec())
        assert not seat.certify(first, first.certificate, spec())
        before = seat.context()
        now_s += 11 * HOUR_S
        assert not seat.certify(first, first.certificate, spec())
        assert seat.context() is before
        now_s += 2 * HOUR_S
        assert seat.certify(first, first.certificate, spec())
        assert seat.context() is not before
        both = first.certificate + second.certificate
        assert seat.certify(first, both, spec()) and seat.shows(first.certificate)
        assert seat.certify(second, both, spec()) and seat.shows(second.certificate)
        assert not seat.certify(second, both, spec())


async def test_after_days_it_has_a_certificate_before_the_rows_can_be_read(tmp_path: Path) -> None:
    async with open_seat(tmp_path / "etcd", "a", clock=lambda: NOW_S) as seat:
        first = authority()
        seat.certify(first, first.certificate, spec())
        seat._write(SeatRecord(spec=spec(), others={"b": ("192.0.2.2", 7402)}))
    later_s = NOW_S + 72 * HOUR_S
    async with open_seat(tmp_path / "etcd", "a", clock=lambda: later_s) as seat:
        await seat.resume()
        pair = seat.member.certificate()
        assert pair is not None and pki.ends_at_s(pair) > later_s
        assert seat.endpoints() == [("192.0.2.2", 7402)]


async def test_a_record_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "seat.json").write_text("{")
    async with open_seat(tmp_path, "a", clock=lambda: NOW_S) as seat:
        with pytest.raises(PaasdError, match=r"seat\.json cannot be read"):
            await seat.resume()


def test_a_node_reaches_its_own_member_where_that_listens() -> None:
    assert own_address(spec()) == ("127.0.0.1", 7402)
    assert own_address(spec("192.0.2.7")) == ("192.0.2.7", 7402)
