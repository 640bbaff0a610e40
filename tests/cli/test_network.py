"""The example of two apps of which one is private, opened and closed by commands; and groups by commands."""

from pathlib import Path

import pytest
import trio

from tests.cli.typing_hands import Typed, paasd
from tests.node.harness import EXAMPLES, Driver, running_node

pytestmark = pytest.mark.root


async def test_an_app_that_is_private_answers_those_who_were_let(tmp_path: Path) -> None:
    async with running_node(tmp_path / "data") as node:

        async def run(*words: str, code: int = 0) -> Typed:
            typed = await paasd(*words, PAASD_DATA=str(node.node.directory))
            assert typed.code == code, typed
            return typed

        for name in ("stock", "front"):
            folder = EXAMPLES / "private-backend" / name
            result = await node.push(name, folder, (folder / "manifest.yml").read_text())
            assert result["type"] == "result", result
        assert (await node.get("stock.apps.localhost")).status_code == 404, "it has no name outside"
        assert (await node.get("stock.apps.internal")).status_code == 404
        assert (await node.get("front.apps.localhost")).status_code == 503
        assert "No app of the space may connect" in (await run("network", "list")).out
        allowed = await run("network", "allow", "front", "stock")
        assert allowed.out == "front may connect to stock at stock.apps.internal:8080.\n"
        await until(node, 200, 'In stock: {"tea": 12, "coffee": 3}')
        listed = await run("network", "list")
        assert listed.out.splitlines()[1].split() == ["front", "stock", "tcp", "8080"]
        named = await run("network", "allow", "stock", "front", "--port", "9000-9001")
        assert named.out == "stock may connect to front at front.apps.internal:9000-9001.\n"
        await run("network", "forbid", "front", "stock")
        await until(node, 503, "No way to the stock")
        assert "wants a number" in (await run("network", "allow", "front", "stock", "--port", "x", code=2)).err
        await groups(node, run)


async def until(node: Driver, status: int, text: str) -> None:
    with trio.fail_after(5):
        while True:
            answer = await node.get("front.apps.localhost")
            if answer.status_code == status and answer.text.startswith(text):
                return
            await trio.sleep(0.05)


async def groups(node: Driver, run) -> None:
    rules = '[{"protocol":"tcp","destination":"10.0.0.5","ports":"5432"}]'
    assert "`paasd security-group bind db ORG/SPACE`" in (await run("security-group", "create", "db", rules)).out
    assert (await run("security-group", "bind", "db", "main/dev")).out == "db counts in main/dev.\n"
    await run("security-group", "bind", "db", "main/dev", "--staging")
    listed = [line.split() for line in (await run("security-group", "list")).out.splitlines()]
    assert ["public_networks", "running", "all", "spaces", "1", "rules"] in listed
    assert ["db", "running", "dev", "1", "rules"] in listed
    assert ["db", "staging", "dev", "1", "rules"] in listed
    assert "Changed db" in (await run("security-group", "create", "db", "[]")).out
    for more in ((), ("--staging",)):
        await run("security-group", "unbind", "db", "main/dev", *more)
    listed = [line.split() for line in (await run("security-group", "list")).out.splitlines()]
    assert ["db", "-", "nowhere", "0", "rules"] in listed
    assert "there is no group x" in (await run("security-group", "bind", "x", "main/dev", code=1)).err
    assert "there is no space main/x" in (await run("security-group", "bind", "db", "main/x", code=1)).err
    wrong = await run("security-group", "create", "db", '[{"protocol":"tcp","destination":"x"}]', code=1)
    assert "destination must contain valid CIDR(s)" in wrong.err
