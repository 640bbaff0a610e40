from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.errors import Unavailable
from paasd.sandbox.network.addresses import AddressPool

POOL = IPv4Network("10.0.0.0/28")
QUARANTINE_S = 60.0
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "take", "release", "restart"]), st.floats(0, 40), st.integers(0, 13)),
    max_size=80,
)


@given(STEPS)
def test_no_address_is_given_out_again_before_it_has_rested(steps: list[tuple[str, float, int]]) -> None:
    pool, now = AddressPool(POOL, QUARANTINE_S), 0.0
    used: list[IPv4Address] = []
    released: dict[IPv4Address, float] = {}
    for verb, passed_s, which in steps:
        now += passed_s
        if verb == "take":
            rested = [a for a in list(POOL)[1:-1] if a not in used and now - released.get(a, -1e9) >= QUARANTINE_S]
            try:
                address = pool.take(now)
            except Unavailable:
                assert not rested
                continue
            assert address in rested
            used.append(address)
        elif verb == "release" and used:
            address = used.pop(which % len(used))
            pool.release(address, now)
            released[address] = now
        elif verb == "restart":
            resting = pool.resting(now)
            pool = AddressPool(POOL, QUARANTINE_S)
            for address in used:
                pool.claim(address)
            pool.restore(resting, now)


def test_a_rested_address_comes_back() -> None:
    pool = AddressPool(IPv4Network("10.0.0.0/30"), QUARANTINE_S)
    first, second = pool.take(0.0), pool.take(0.0)
    pool.release(first, 1.0)
    with pytest.raises(Unavailable):
        pool.take(60.9)
    assert pool.take(61.0) == first != second
