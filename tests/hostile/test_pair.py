"""Attempts of two tenants at the same time, while a third one's app is used."""

import random
from pathlib import Path

import pytest

from .clients import clients, read
from .pair import attack, attempts
from .stage import Stage

pytestmark = pytest.mark.root
RATE_PER_S = 50
# Those that take seconds of their own, for they wait, push or count, are for the whole run.
LONG = {6, 9, 31, 32, 34, 36, 38, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 53, 54, 60, 64, 65, 67, 68, 69, 70}
SEED = 1


def whole_or_slice(share: int | None) -> list[int]:
    numbers = sorted({one.number for one in attempts()} - (LONG if share else set()))
    return random.Random(SEED).sample(numbers, share) if share else numbers


@pytest.mark.parametrize(
    "share",
    [pytest.param(12, id="some"), pytest.param(None, id="all", marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
)
def test_no_request_fails_while_two_tenants_attack_at_once(stage: Stage, tmp_path: Path, share: int | None) -> None:
    tenants = [stage.another(f"{name}{share or ''}", cores=0.5) for name in ("ann", "bob")]
    chosen = whole_or_slice(share)
    node = stage.node.node
    port, authority = node.router.https_port, node.certificates.authority_path
    with clients(port, "canary.apps.localhost", authority, RATE_PER_S, tmp_path / "requests"):
        stage.until(lambda: len(read(tmp_path / "requests")), lambda count: count >= 20)
        report = attack(tenants, [one for one in attempts() if one.number in chosen], SEED)
    requests = read(tmp_path / "requests")
    assert [one for one in requests if one.answer != "200"] == []
    assert len(requests) > 20, "the clients went on"
    assert report.failed == []
    assert len(report.done) + len(report.skipped) == 2 * len(chosen)
    for tenant in tenants:
        stage.run(tenant.attacker.destroy)
        stage.run(tenant.neighbour.destroy)
