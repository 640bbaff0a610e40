"""What may be called under which names, as data; and addresses that stay what they are."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path

import pytest

from paasd.errors import Unavailable
from paasd.model import NetworkPolicy
from paasd.reach.addresses import CallAddresses
from paasd.reach.calls import Callee, Internal, plan
from paasd.reach.groups import group_rules
from paasd.reach.names import Names, NotReady
from paasd.sandbox import Call, GroupRule

NETWORK = IPv4Network("169.254.128.0/28")


def policy(destination: str, start: int = 8080, end: int = 8080) -> NetworkPolicy:
    return NetworkPolicy(
        source_guid="front", destination_guid=destination, protocol="tcp", start_port=start, end_port=end
    )


def test_a_name_of_two_apps_leads_to_those_that_a_policy_allows() -> None:
    known: dict[Callee, str] = {}
    numbers: Iterator[int] = count(1)

    def address_of(callee: Callee) -> str:
        return known.setdefault(callee, f"169.254.128.{next(numbers)}") if callee not in known else known[callee]

    names = {
        "blue": [Internal("shop.apps.internal", ("blue", "web")), Internal("blue.apps.internal", ("blue", "web"))],
        "green": [Internal("shop.apps.internal", ("green", "web"))],
    }
    one = plan([policy("blue", 8080, 8081)], names, address_of)
    blue = known["blue", "web"]
    assert one.calls == (Call(blue, 8080, 8081),)
    assert one.names == {"blue.apps.internal": (blue,), "shop.apps.internal": (blue,)}
    assert one.doors == {(blue, 8080): ("blue", "web"), (blue, 8081): ("blue", "web")}
    both = plan([policy("blue"), policy("green", 9000, 9000), policy("blue", 1, 1)], names, address_of)
    green = known["green", "web"]
    assert both.names["shop.apps.internal"] == (blue, green)
    assert both.calls == (Call(blue, 1, 1), Call(blue, 8080, 8080), Call(green, 9000, 9000))
    assert (green, 8080) not in both.doors
    assert plan([policy("unnamed")], {}, address_of).calls == ()
    assert plan([], names, address_of).names == {}


def test_addresses_are_kept_for_the_next_daemon_and_rest_when_their_app_is_gone(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "calls.json"
    first = CallAddresses(path, NETWORK, 60.0, lambda: now)
    a, b = first.of(("a", "web")), first.of(("b", "web"))
    assert a != b
    assert first.of(("a", "web")) == a
    assert {IPv4Address(a), IPv4Address(b)} <= set(NETWORK)
    first.save()
    second = CallAddresses(path, NETWORK, 60.0, lambda: now)
    assert (second.of(("a", "web")), second.of(("b", "web"))) == (a, b)
    second.forget(["a"])
    others = [second.of((f"c{number}", "web")) for number in range(12)]
    assert a not in others, "it rests"
    with pytest.raises(Unavailable):
        second.of(("d", "web"))
    now = 61.0
    assert second.of(("d", "web")) == a


def test_a_file_that_cannot_be_read_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "calls.json").write_text("{")
    assert CallAddresses(tmp_path / "calls.json", NETWORK, 60.0, lambda: 0.0).of(("a", "web")) == "169.254.128.1"


def test_rules_that_cannot_be_read_open_nothing() -> None:
    first, last = IPv4Address("10.0.0.0"), IPv4Address("10.0.0.255")
    good = {"protocol": "tcp", "destination": "10.0.0.0/24", "ports": "80,443", "log": True}
    assert group_rules([good, {"protocol": "sctp", "destination": "0.0.0.0/0"}, {}]) == (
        GroupRule(protocol="tcp", destinations=((first, last),), ports=((80, 80), (443, 443)), log=True),
    )
    ping = {"protocol": "icmp", "destination": "10.0.0.0-10.0.0.255", "type": 8, "code": -1}
    assert group_rules([ping]) == (
        GroupRule(protocol="icmp", destinations=((first, last),), icmp_type=8, icmp_code=-1),
    )


def test_nobody_is_told_of_names_before_the_rows_were_read() -> None:
    names = Names()
    with pytest.raises(NotReady):
        names.lookup("10.254.0.1", "back.apps.internal")
    assert names.organization("10.254.0.1") == ""
    names.set("front", {"back.apps.internal": ("169.254.128.1",)})
    whose = {"front": "one", "other": "two"}
    callers = {"10.254.0.1": "front", "10.254.0.2": "other"}
    names.ready(callers.__getitem__, lambda address: whose[callers[address]])
    assert [names.organization(address) for address in callers] == ["one", "two"]
    assert names.lookup("10.254.0.1", "back.apps.internal") == ("169.254.128.1",)
    assert names.lookup("10.254.0.1", "other.apps.internal") is None
    assert names.lookup("10.254.0.2", "back.apps.internal") is None
    names.set("front", {})
    assert names.lookup("10.254.0.1", "back.apps.internal") is None
