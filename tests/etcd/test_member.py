"""The process: found again, started again, stopped; its certificate renewed while it runs; releases refused."""

import os
import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from cryptography import x509

from paasd.errors import PaasdError
from paasd.etcd import Member, check_version, election_ms, member_url
from paasd.etcd.command import PAIR, arguments
from paasd.etcd.member import LOG_LIMIT_BYTES
from tests.etcd.members import Village, found_client, village


async def shown(found: Village) -> x509.Certificate:
    """The certificate of a new connection."""
    async with found_client(found) as client:
        await client.members()
        channel = await client.channel()
        der = channel._stream.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(der)


async def test_a_renewed_certificate_is_shown_at_the_next_connection_and_no_other_ends() -> None:
    async with village() as found, found_client(found) as old:
        await old.members()
        channel = await old.channel()
        before = await shown(found)
        found.member("m0")  # writes new files for the same member
        after = await shown(found)
        assert after.serial_number != before.serial_number
        assert after.not_valid_after_utc < datetime.now(UTC) + timedelta(hours=25)
        await old.members()
        assert await old.channel() is channel


async def let_in(found: Village, port: int, pair: Path | None) -> bool:
    """Whether a connection with this certificate, or none, gets so far that it may ask something."""
    context = ssl.create_default_context(cafile=str(found.directory / "m0" / "ca.pem"))
    if pair is not None:
        context.load_cert_chain(pair)
    plain = await trio.open_tcp_stream("127.0.0.1", port)
    try:
        async with trio.SSLStream(plain, context, server_hostname="127.0.0.1") as stream:
            await stream.send_all(b"GET /version HTTP/1.1\r\nHost: m0\r\nConnection: close\r\n\r\n")
            with trio.fail_after(5):
                return b"HTTP/" in await stream.receive_some(100)
    except trio.BrokenResourceError:
        return False


@pytest.mark.parametrize("door", ["client_port", "peer_port"])
async def test_who_has_no_certificate_of_its_authority_is_cut_off_in_the_handshake(door: str, tmp_path: Path) -> None:
    async with village() as found:
        stranger = Village(tmp_path, 1)
        port = getattr(found.specs[0], door)
        assert await let_in(found, port, found.directory / "m0" / PAIR)
        assert not await let_in(found, port, stranger.directory / "m0" / PAIR)
        assert not await let_in(found, port, None)


async def test_it_is_found_again_by_pid_and_start_time_and_only_so() -> None:
    async with village() as found:
        spec, folder = found.specs[0], found.directory / "m0"
        again = Member(folder, outlive=False)
        await again.start(spec)
        assert again.adopted and again.pid == found.members[0].pid
        again.close()
        record = (folder / "etcd.json").read_bytes()
        assert await found.members[0].stop()
        (folder / "etcd.json").write_bytes(record)  # the pid is another's now, or nobody's
        late = Member(folder, outlive=False)
        await late.start(spec)
        assert not late.adopted
        assert await late.stop()
        assert not await late.stop()


async def test_it_is_started_again_whenever_it_ends() -> None:
    async with village() as found, trio.open_nursery() as nursery:
        member = found.members[0]
        nursery.start_soon(member.supervise, found.specs[0])
        for _ in range(2):
            before = member.pid
            assert before is not None
            os.kill(before, signal.SIGKILL)
            with trio.fail_after(10):
                while member.pid in (None, before):
                    await trio.sleep(0.01)
        assert member.failures == 2
        async with found_client(found) as client:
            await found.until_ready(client)
        nursery.cancel_scope.cancel()


@pytest.mark.root
async def test_its_user_can_neither_read_keys_of_others_nor_enter_the_folders_above() -> None:
    async with village() as found:
        status = Path(f"/proc/{found.members[0].pid}/status").read_text()
        assert "\nUid:\t61171\t61171\t61171\t61171\n" in status
        assert found.directory.stat().st_mode & 0o077 == 0
        assert (found.directory / "m0" / "etcd.pem").stat().st_mode & 0o777 == 0o600


async def test_its_output_is_bounded(tmp_path: Path) -> None:
    member = Member(tmp_path)
    (tmp_path / "etcd.log").write_bytes(bytes(LOG_LIMIT_BYTES))
    member.limit_output()
    assert (tmp_path / "etcd.log").stat().st_size == LOG_LIMIT_BYTES
    with (tmp_path / "etcd.log").open("ab", buffering=0) as file:
        file.write(b"more")
        member.limit_output()
        file.write(b"last words")
    assert member.last_words() == "last words"


@pytest.mark.parametrize("version", ["3.4.22", "3.4.23", "3.4.30", "3.5.16", "3.5.21"])
def test_releases_that_keep_their_data_are_taken(version: str) -> None:
    assert check_version(f"etcd Version: {version}\nGit SHA: x\n") == version


@pytest.mark.parametrize("version", ["3.3.25", "3.4.21", "3.5.0", "3.5.5", "3.5.15", "3.6.0", "4.0.0"])
def test_releases_that_lose_data_or_were_not_tried_are_refused_by_name(version: str) -> None:
    with pytest.raises(PaasdError, match=rf"etcd {version} .* 3\.5\.16"):
        check_version(f"etcd Version: {version}\n")


def test_a_program_that_is_no_etcd_is_refused() -> None:
    with pytest.raises(PaasdError, match="does not say its version"):
        check_version("hello\n")


def test_patience_grows_with_the_distance_of_the_voters() -> None:
    assert election_ms(0.0005) == (100, 1000)
    assert election_ms(0.1) == (150, 1500)
    assert election_ms(0.25) == (375, 3750)
    assert all(election >= 5 * heartbeat for heartbeat, election in map(election_ms, (0, 0.01, 0.3, 2.0, 60.0)))


async def test_addresses_of_both_kinds_are_told_as_urls() -> None:
    assert member_url("192.0.2.1", 7403) == "https://192.0.2.1:7403"
    assert member_url("2001:db8::1", 7403) == "https://[2001:db8::1]:7403"
    async with village() as found:
        told = arguments(found.specs[0])
    assert "--pre-vote=true" in told
    assert "--client-cert-auth=true" in told
    assert "--peer-client-cert-auth=true" in told
    assert "--strict-reconfig-check=true" in told
