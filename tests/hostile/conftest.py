import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from paasd.sandbox import node_prefix, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.sandbox.network.world import Outside

from .stage import Stage, open_stage


@pytest.fixture(scope="package")
def outside() -> Iterator[Outside]:
    """A machine next to the host, which plays the internet."""
    run_dir = Path(f"/run/paasd-test-{secrets.token_hex(4)}")
    run_dir.mkdir(mode=0o700)
    machine = Outside(run_dir)
    machine.start()
    yield machine
    machine.stop()
    run_dir.rmdir()


@pytest.fixture(scope="package")
def stage(tmp_path_factory: pytest.TempPathFactory, outside: Outside) -> Iterator[Stage]:
    """The node under attack. When all is over, the host must be as it was."""
    data = tmp_path_factory.mktemp("hostile") / "node"
    data.mkdir(mode=0o700)
    before = take_inventory(data, node_prefix(data), SLOTS)
    with open_stage(data, outside) as opened:
        yield opened
    assert take_inventory(data, node_prefix(data), SLOTS).difference(before) == {}


@pytest.fixture(autouse=True)
def canary(stage: Stage) -> Iterator[None]:
    """Through every attack the neighbours' app answers, and nothing of it was restarted."""
    yield
    answered = stage.canary.answers["200"]
    stage.until(lambda: stage.canary.answers["200"], lambda now: now > answered, timeout_s=20)
    assert stage.canary.failed == {}
    assert len(stage.canary.bodies) == 1, "the canary was restarted"
