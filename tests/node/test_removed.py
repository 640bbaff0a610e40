"""What a removed node does at its next start: it ends what a former daemon left running, and says why."""

import contextlib
import os
import time
from pathlib import Path

import httpx
import psutil
import pytest

from paasd.membership import Removed, note_removal, read_removal
from paasd.node import open_node
from paasd.node.removed import serve_removed
from paasd.sandbox import node_prefix
from tests.node.harness import HELLO, node_config, running_node

pytestmark = pytest.mark.root


def running(data: Path) -> set[str]:
    """Programs of this node that are no part of its daemon."""
    marks = str(data), node_prefix(data)
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if process.pid != os.getpid() and any(mark in word for mark in marks for word in words):
                found.add(Path(words[0].split()[0]).name)
    return found


async def test_instances_that_outlived_the_daemon_end_and_everybody_is_told_why(tmp_path: Path) -> None:
    async with running_node(tmp_path / "data", outlive=True) as driver:
        assert (await driver.push("hello", HELLO))["type"] == "result"
    assert {"paasd-shim", "envoy"} <= running(tmp_path / "data")
    (tmp_path / "data" / "member").mkdir(exist_ok=True)
    note_removal(tmp_path / "data", "node one", time.time())

    config = node_config(tmp_path / "data")
    with pytest.raises(Removed, match="was removed from its platform"):
        async with open_node(config):
            pass
    assert {"paasd-shim", "envoy"} <= running(tmp_path / "data"), "nothing was opened"

    removal = read_removal(tmp_path / "data")
    assert removal is not None
    async with serve_removed(config, removal) as doors:
        assert running(tmp_path / "data") == set()
        transport = httpx.AsyncHTTPTransport(uds=os.fspath(doors.unix_path or ""))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as root:
            status = (await root.get("/paasd/v1/status")).raise_for_status().json()
            assert "paasd join TOKEN" in status["problems"][0]
            assert "from node one" in status["problems"][0]
            for method, path in (("GET", "/v3/apps"), ("POST", "/paasd/v1/tokens"), ("GET", "/paasd/v1/healthz")):
                answer = await root.request(method, path)
                assert answer.status_code == 503
                assert answer.json()["errors"][0]["title"] == "CF-ServiceUnavailable"
        async with httpx.AsyncClient(base_url=doors.url) as anybody:
            assert (await anybody.get("/v3/apps")).status_code == 503


def test_a_note_stays_as_it_was_first_written_and_a_torn_one_counts(tmp_path: Path) -> None:
    (tmp_path / "member").mkdir()
    assert read_removal(tmp_path) is None
    note_removal(tmp_path, "node one", 1.0)
    note_removal(tmp_path, "its own row", 2.0)
    removal = read_removal(tmp_path)
    assert removal is not None and (removal.said_by, removal.at) == ("node one", 1.0)
    (tmp_path / "member" / "removed.json").write_bytes(b"{")
    assert read_removal(tmp_path) is not None
