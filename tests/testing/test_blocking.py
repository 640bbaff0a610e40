"""The cluster for suites without trio."""

import threading

import pytest

from paasd.config import RouterConfig
from paasd.errors import PaasdError, Unavailable
from paasd.testing import running_cluster

from .apps import HELLO


def test_a_suite_without_trio_pushes_asks_kills_and_waits() -> None:
    before = threading.active_count()
    with running_cluster() as c:
        c.push("hello", HELLO)
        assert c.get("hello").text == "instance 0"
        assert c.api("GET", "/v3/apps").json()["pagination"]["total_results"] == 1
        (node,) = c.nodes
        node.kill()
        with pytest.raises(Unavailable):
            c.get("hello")
        node.start()
        assert c.until(lambda: c.get("hello").status_code == 200)
        with pytest.raises(TimeoutError):
            c.until(lambda: not node.alive, within_s=0.05)
    assert not any(thread.name == "paasd.testing" for thread in threading.enumerate())
    assert threading.active_count() <= before + 8  # trio keeps a few idle ones


def test_what_the_block_raises_comes_out_and_so_does_a_failed_start() -> None:
    with pytest.raises(LookupError), running_cluster():
        raise LookupError
    with pytest.raises(PaasdError, match="/no/envoy"), running_cluster(router=RouterConfig(binary="/no/envoy")):
        raise AssertionError("unreachable")
