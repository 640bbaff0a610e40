"""Rate limiting and server lists, without sockets."""

from pathlib import Path

import pytest

from paasd.dns.upstreams import parse_servers
from paasd.rate import Buckets, Shares


def test_a_bucket_fills_again_and_not_above_its_burst():
    buckets = Buckets(per_s=2, burst=3, clients=10)
    assert [buckets.take("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b", 0.0)
    assert [buckets.take("a", 0.5) for _ in range(2)] == [True, False]
    assert [buckets.take("a", 1000.0) for _ in range(4)] == [True, True, True, False]


def test_only_so_many_clients_are_remembered():
    buckets = Buckets(per_s=1, burst=1, clients=2)
    assert buckets.take("a", 0.0)
    assert not buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert buckets.take("c", 0.0)
    assert buckets.take("a", 0.0), "forgotten, so it starts anew"
    assert not buckets.take("c", 0.0)


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


def test_one_client_has_its_share_and_all_together_the_whole():
    shares = Shares(limit=5, share=2)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert [shares.take("b") for _ in range(3)] == [True, True, False]
    assert [shares.take("c") for _ in range(2)] == [True, False], "together they are five"
    shares.give_back("a")
    assert shares.take("c")
    assert not shares.take("d")
