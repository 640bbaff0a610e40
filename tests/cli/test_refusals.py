"""Wrong input: each is one sentence that says what to do, and no traceback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.model import App
from paasd.model.instances import RecordFailures, record_failures
from paasd.model.processes import find_process
from tests.api.serving import PASSWORD, Served, serve
from tests.api.tenants import make_tenant
from tests.cli.typing_hands import Typed, paasd

COMMANDS = (
    "push",
    "apps",
    "app",
    "logs",
    "scale",
    "restart",
    "env",
    "run",
    "quota",
    "delete",
    "serve",
    "status",
    "stop",
    "config",
    "stack",
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as made:
        yield made


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_explains_itself(command: str) -> None:
    typed = await paasd(command, "--help")
    assert typed.code == 0
    usage, _, rest = typed.out.partition("\n\n")
    assert f" {command} " in usage
    assert len(rest) > 100


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("pushh", "push"),
        ("--spce main/dev apps", "--space"),
        ("--space main apps", "ORG/SPACE"),
        ("push", "paasd push NAME FOLDER"),
        ("push examples/flask-app", "paasd push flask-app examples/flask-app"),
        ("push hello /nowhere", "/nowhere"),
        ("scale hello", "--instances, --memory or --disk"),
        ("scale hello -i many", "no whole number"),
        ("scale hello -m 1X", "512M or 1G"),
        ("env hello", "no daemon runs on /nowhere"),
        ("apps", "start one with `paasd serve`"),
        ("stop", "there is no node in /nowhere"),
        ("stop --config /nowhere/x.toml", "name another file with --config"),
        ("--api https://api.system.localhost apps", "--user and --password"),
        ("--api https://localhost:1 --user a --password b apps", "nothing listens there"),
        ("--api https://localhost:1 --user a --password b --ca /nowhere apps", "--ca /nowhere cannot be read"),
    ],
)
async def test_wrong_words_are_answered_with_the_right_ones(words: str, hint: str) -> None:
    typed = await paasd(*words.split(), PAASD_DATA="/nowhere")
    assert typed.code in (1, 2)
    assert hint in typed.err


async def test_what_the_api_refuses_is_told_as_a_sentence(served: Served, tmp_path: Path) -> None:
    async def refused(*words: str, password: str = PASSWORD) -> str:
        typed = await paasd("--api", served.doors.url, "--user", "admin", "--password", password, *words)
        assert typed.code == 1, typed
        return typed.err

    assert "Bad credentials; a node keeps the password of admin" in await refused("apps", password="wrong")
    assert "`paasd push nope FOLDER`" in await refused("app", "nope")
    assert "paasd create-org nowhere" in await refused("--space", "nowhere/dev", "apps")
    assert "paasd create-space main/nowhere" in await refused("--space", "main/nowhere", "apps")
    (tmp_path / "empty").mkdir()
    assert "there is nothing to push" in await refused("push", "x", str(tmp_path / "empty"))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "Procfile").write_text("web: x\n")
    (broken / "manifest.yml").write_text("applications: [\n")
    assert "Cannot parse manifest at line 2" in await refused("push", "x", str(broken))
    (broken / "manifest.yml").write_text("applications:\n- name: x\n  memory: 1X\n")
    assert "memory" in await refused("push", "x", str(broken))


async def test_the_right_password_is_let_in(served: Served) -> None:
    typed = await paasd("--api", served.doors.url, "--user", "admin", "apps", PAASD_PASSWORD=PASSWORD)
    assert (typed.code, "No apps in main/dev yet" in typed.out) == (0, True)


async def test_quota_shows_use_beside_limits(served: Served) -> None:
    admin = ("--api", served.doors.url, "--user", "admin", "--password", PASSWORD)
    async with await served.admin() as http:
        limits = {"apps": {"total_memory_in_mb": 2048, "per_process_memory_in_mb": 512}}
        assert (await http.patch("/v3/organization_quotas/default", json=limits)).status_code == 200
    lines = (await paasd(*admin, "quota")).out.splitlines()
    assert lines[0].split("  ")[-1].strip() == "organization main (default)"
    assert lines[1].split() == ["memory", "0B", "0B", "of", "2G"]
    assert lines[-1] == "One instance in this organization may have 512M of memory."


async def test_a_size_that_no_node_has_is_told_before_anything_is_restarted(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "dora")
    await tenant.instance(served, app)

    async def scale(*amounts: str) -> Typed:
        words = ("--api", served.doors.url, "--user", "developer@acme", "--password", PASSWORD, "--space", "acme/dev")
        return await paasd(*words, "scale", "dora", *amounts)

    def version() -> int:
        with served.context.database.read() as tx:
            return tx.need(App, app).version

    before = version()
    typed = await scale("-m", "99999G")
    assert typed.code == 1 and typed.err.startswith("Error: dora is not restarted. No node is as large as"), typed
    assert version() == before
    with served.context.database.read() as tx:
        web = find_process(tx, app, "web")
    failed = RecordFailures(reasons={web.guid: "insufficient resources: memory"})
    await served.context.database.write(record_failures, failed)
    typed = await scale("-i", "2")
    assert typed.code == 1 and "is down: insufficient resources: memory" in typed.err, typed
    typed = await scale("-i", "0")
    assert typed.code == 0 and "0 of 0 running" in typed.out, typed
    async with await served.admin() as http:
        for instances in (1, 0):
            answer = await http.post(f"/v3/processes/{web.guid}/actions/scale", json={"instances": instances})
            assert ("No%20node" in answer.headers.get("X-Cf-Warnings", "")) is bool(instances), answer.headers
    typed = await scale("-i", "1", "-m", "4G")
    assert "dora (web): instance 0 is down: insufficient resources: memory" in typed.err, typed
    assert version() == before + 1, "there may be room for it soon"


async def test_a_door_for_ssh_that_there_is_not_is_not_waited_for(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    await tenant.started_app(served, "dora")
    words = ("--api", served.doors.url, "--user", "developer@acme", "--password", PASSWORD, "--space", "acme/dev")
    typed = await paasd(*words, "ssh-code", "dora")
    assert typed.code == 1
    assert "There is no door for ssh here" in typed.err and "trying again" not in typed.err, typed
