"""Server lists, without sockets."""

from pathlib import Path

import pytest

from paasd.dns.upstreams import parse_servers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", ("1.2.3.4", 53)),
        ("1.2.3.4:5353", ("1.2.3.4", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[fe80::1%eth0]", ("fe80::1%eth0", 53)),
    ],
)
def test_servers_are_read(text: str, expected: tuple[str, int]):
    assert parse_servers([text]) == (expected,)


def test_the_hosts_servers_are_taken_where_none_is_configured(tmp_path: Path):
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("# x\nsearch corp.example\nnameserver 9.9.9.9\nnameserver ::1\noptions edns0\n")
    assert parse_servers([], resolv_conf) == (("9.9.9.9", 53), ("::1", 53))
    assert parse_servers(["8.8.8.8"], resolv_conf) == (("8.8.8.8", 53),)
    assert parse_servers([], tmp_path / "absent") == ()
