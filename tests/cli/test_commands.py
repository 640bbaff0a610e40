"""The commands of the README on a whole node, as root on its machine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.cli.client import organization_path
from tests.cli.typing_hands import Typed, paasd
from tests.node.harness import HELLO, Driver, running_node

pytestmark = pytest.mark.root


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Driver]:
    async with running_node(tmp_path / "data") as found:
        yield found


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(str(text))
    return folder


async def test_an_app_goes_through_its_life_by_commands(node: Driver, tmp_path: Path) -> None:
    async def run(*words: str) -> Typed:
        typed = await paasd(*words, PAASD_DATA=str(node.node.directory))
        assert typed.code == 0, typed
        return typed

    manifest = "applications:\n- memory: 64M\n"
    folder = write(tmp_path / "hello", {**HELLO, "manifest.yml": manifest, ".cfignore": "*.old", "x.old": "stays"})
    url = f"https://hello.apps.localhost:{node.https_port}"
    pushed = await run("push", "hello", str(folder))
    assert "sending 2 files of" in pushed.err
    assert "-- routed done in" in pushed.err
    assert pushed.out.startswith(f"hello is up: 1 of 1 running\n  {url}\n")
    bars = [line.split()[0] for line in pushed.out.splitlines()[2:]]
    assert bars[-1] == "total"
    assert {"upload", "detect", "build", "healthy"} <= set(bars)
    assert (await run("apps")).out.splitlines()[1].split() == ["hello", "started", "web:1/1", url]
    assert "1 of 1 running, 64M memory and 1G disk each" in (await run("app", "hello")).out
    assert "hello (web): 2 of 2 running" in (await run("scale", "hello", "-i", "2")).out
    assert "hello (web): 2 of 2 running" in (await run("scale", "hello", "-m", "96M")).out
    assert "has no variables" in (await run("env", "hello")).err
    assert "`paasd restart hello`" in (await run("env", "hello", "COLOR=red", "SIZE=big")).out
    await run("env", "hello", "SIZE=")
    assert (await run("env", "hello")).out == "COLOR=red\n"
    assert "hello (web): 2 of 2 running" in (await run("restart", "hello")).out
    told = (await run("run", "hello", "-m", "64M", "--task", "look", "echo in $COLOR; ls")).out
    assert all(f"[APP/TASK/look/0] OUT {line}\n" in told for line in ("in red", "server.py", "Exited with status 0"))
    words = ("run", "hello", "-m", "64M", "--task", "bad", "--", "sh", "-c", "exit 4")
    failed = await paasd(*words, PAASD_DATA=str(node.node.directory))
    assert failed.code == 1
    assert failed.err.endswith("Error: APP/TASK/bad: Exited with status 4\n")
    assert "[STG/0] OUT -----> " in (await run("logs", "hello")).out
    assert len((await run("logs", "hello", "-n", "3")).out.splitlines()) == 3
    assert "instances running:   2" in (await run("status")).out
    assert (await run("delete", "hello", "--yes")).out == "Deleted hello.\n"
    assert "No apps in main/dev yet" in (await run("apps")).out
    assert "Space main/other is there already." not in (await run("create-space", "main/other")).out


async def test_an_app_that_crashes_at_once_shows_its_last_words(node: Driver, tmp_path: Path) -> None:
    folder = write(tmp_path / "sad", {"Procfile": "web: echo the reason; exit 3\n"})
    pushed = await paasd("push", "sad", str(folder), PAASD_DATA=str(node.node.directory))
    assert pushed.code == 1
    assert "   the reason\n" in pushed.err
    assert "push failed at healthy" in pushed.err
    assert "Exited with status 3" in pushed.err
    again = await paasd("restart", "sad", PAASD_DATA=str(node.node.directory))
    assert (again.code, "`paasd logs sad` says more" in again.err) == (1, True)


def test_the_name_of_an_organization_is_one_part_of_a_path() -> None:
    assert organization_path("a/b?c d") == "/paasd/v1/organizations/a%2Fb%3Fc%20d"
