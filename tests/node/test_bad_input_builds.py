"""Builds that cannot or must not end well: each fails alone, says why, and the app's earlier droplet serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from tests.node.harness import HELLO, Pusher
from tests.node.site import Site

pytestmark = pytest.mark.root

APP = "victim"
PLAIN = f"applications:\n- name: {APP}\n  default-route: true\n  buildpacks: []\n"
SHELL = PLAIN.replace("[]", "[shell]")


def build(script: str) -> dict[str, str | bytes]:
    return {**HELLO, "build.sh": script}


FORKS = "bomb() { bomb | bomb & }; bomb; sleep 3; exit 7"
EATS = "python3 -c 'x = bytearray(900 << 20)'"
PRINTS = "yes $(head -c 999 /dev/zero | tr '\\0' x) | head -c 1000000000; echo THE END"
BUILDS: dict[str, tuple[str, list[str]]] = {
    "fails": ("echo the reason; exit 3", ["bin/compile of shell exited with 3", "its lines above say why"]),
    "fills the disk": ("cat /dev/zero > filler", ["used up its disk (128 MB)", "raise disk_quota", ".cfignore"]),
    "eats memory": (EATS, ["ran out of memory (256 MB)", "give staging more memory"]),
    "forks": (FORKS, ["as many processes as it may have (64)", "let it start fewer at once"]),
    "hangs": ("sleep 1000", ["StagingTimeExpired", "did not end within 20 s", "last lines in the log show where"]),
}
MANIFESTS: dict[str, tuple[str, list[str]]] = {
    "no YAML": ("applications:\n- name: [victim\n", ["Cannot parse manifest at line 3", "expected ',' or ']'"]),
    "no applications": ("services: []\n", ["applications"]),
    "wrong unit": (f"applications:\n- name: {APP}\n  memory: 64 apples\n", ["memory must use a supported unit", "MB"]),
    "wrong type": (f"applications:\n- name: {APP}\n  instances: many\n", ["instances", "integer"]),
    "unknown buildpack": (
        f"applications:\n- name: {APP}\n  buildpacks: [cobol_buildpack]\n",
        ['"cobol_buildpack" must be an existing admin buildpack or a valid git URI'],
    ),
}


@asynccontextmanager
async def victim(pusher: Pusher) -> AsyncIterator[None]:
    """The app whose earlier droplet is not to be lost."""
    result = await pusher.push(APP, HELLO, PLAIN)
    assert result["type"] == "result", result
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await pusher.delete(APP)


async def refused(pusher: Pusher, files: dict[str, str | bytes], manifest: str, expected: list[str]) -> str | None:
    """None when the push is refused in these words and the droplet before it serves; else what was said."""
    before = (await pusher.get(f"{APP}.apps.localhost")).text
    result = await pusher.push(APP, files, manifest)
    answer = await pusher.get(f"{APP}.apps.localhost")
    assert (answer.status_code, answer.text) == (200, before)
    if result["type"] == "error" and all(text in result["detail"] for text in expected):
        return None
    return str(result.get("detail", result))


async def test_each_bad_build_fails_alone_with_its_reason_and_its_fix(site: Site) -> None:
    async with site.pusher() as pusher, victim(pusher):
        wrong = {
            name: said
            for name, (script, expected) in BUILDS.items()
            if (said := await refused(pusher, build(script), SHELL, expected))
        }
        assert wrong == {}
        assert (await pusher.push(APP, build("true"), SHELL))["type"] == "result"


async def test_each_broken_manifest_is_refused_by_what_is_wrong_in_it(site: Site) -> None:
    async with site.pusher() as pusher, victim(pusher):
        wrong = {
            name: said
            for name, (manifest, expected) in MANIFESTS.items()
            if (said := await refused(pusher, HELLO, manifest, expected))
        }
        assert wrong == {}


async def test_what_no_buildpack_knows_is_told_what_to_add(site: Site) -> None:
    async with site.pusher() as pusher, victim(pusher):
        expected = ["NoAppDetectedError", "it holds notes.txt", "add requirements.txt", "Procfile"]
        assert await refused(pusher, {"notes.txt": "hello"}, PLAIN, expected) is None


async def test_a_build_that_prints_a_gigabyte_ends_well_and_its_loss_is_counted(site: Site) -> None:
    async with site.pusher() as pusher, victim(pusher):
        result = await pusher.push(APP, build(PRINTS), SHELL)
        assert result["type"] == "result", result
        lines = result["log"]
        assert sum(map(len, lines)) < 3_000_000
        assert any("dropped" in line or "lost" in line for line in lines), lines[-20:]
