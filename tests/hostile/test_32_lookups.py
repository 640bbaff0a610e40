"""Attempt 32: keep the resolver, which all instances of a node share, from answering others."""

import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from paasd.sandbox import Container, ProcessSpec, node_prefix
from paasd.sandbox.network.rules import table_name
from tests.sandbox.network.world import Outside

from .stage import Stage
from .test_26_network import out_there

pytestmark = pytest.mark.root
_LOCALHOST = bytes.fromhex("123401000001000000000000096c6f63616c686f73740000010001")
"""A look-up of localhost, type A."""


def test_32_lookups_and_connections_are_limited_for_each_instance_alone(stage: Stage, outside: Outside) -> None:
    """Each socket's port of its own makes it a connection of its own to the kernel."""
    code = """
import select
sockets = []
for number in range(count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect((address, port))
    tried(sock.send, query)
    sockets.append(sock)
answered = set()
while ready := select.select([sock for sock in sockets if sock not in answered], [], [], 5.0)[0]:
    for sock in ready:
        if tried(sock.recv, 512) == "ok":
            answered.add(sock)
found["answered"] = len(answered)
"""
    lookups = {"address": "169.254.1.1", "port": 53, "query": _LOCALHOST}
    with stage.container() as flooder:
        stage.run(flooder.start, ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))
        assert stage.probe(code, flooder, count=10, **lookups) == {"answered": 10}
        more = stage.probe(code, flooder, count=150, **lookups)["answered"]
        assert more <= stage.node.node.config.network.resolver_flows_limit
        assert stage.probe(code, stage.neighbour, count=5, **lookups) == {"answered": 5}
        with out_there(outside, socket.SOCK_DGRAM) as inbox:
            port = inbox.getsockname()[1]
            stage.probe(code, flooder, count=150, address=outside.public, port=port, query=b"x")
            inbox.settimeout(0.2)
            received = 0
            with pytest.raises(TimeoutError):
                while inbox.recv(10):
                    received += 1
            assert 16 < received <= stage.node.node.config.network.flows_limit
            stage.probe(code, stage.neighbour, count=3, address=outside.public, port=port, query=b"x")
            assert [inbox.recv(10) for _ in range(3)] == [b"x"] * 3


def test_32_a_flood_of_lookups_ends_in_the_kernel_and_keeps_nobody_busy(stage: Stage) -> None:
    code = """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.connect(("169.254.1.1", 53))
sock.send(query)
found["answer"] = tried(sock.recv, 512)
import time
began = time.monotonic()
found["sent"] = sum(tried(sock.send, b"x" * 30) == "ok" for _ in range(20000))
found["took_s"] = time.monotonic() - began
"""
    with stage.container() as flooder:
        stage.run(flooder.start, ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))
        # What was answered once is a flow that the kernel knows: it is counted all the same.
        flood = stage.probe(code, flooder, query=_LOCALHOST)
        assert flood["answer"] == "ok"
        sent, allowed = flood["sent"], stage.node.node.config.network.resolver_packets_per_s
        listed = ["nft", "list", "table", "inet", table_name(node_prefix(Path(stage.node.node.config.data)))]
        text = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
        # Of the slots whichever saw the most: while others attack as well there may be more than one.
        dropped = max(int(number) for number in re.findall(r"limit rate over .* counter packets (\d+) .* drop", text))
        assert sent > 5_000
        assert dropped > sent - 2 * allowed * (1 + flood["took_s"])
        ask = """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
sock.connect(("169.254.1.1", 53))
sock.send(query)
found["answer"] = tried(sock.recv, 512)
"""
        assert stage.probe(ask, stage.neighbour, query=_LOCALHOST) == {"answer": "ok"}


def test_32_trains_and_long_datagrams_to_the_resolver_keep_nobody_waiting(stage: Stage) -> None:
    flood = """
import ctypes, fcntl, struct, time
features = ctypes.create_string_buffer(struct.pack("II", 0x3b, 2) + bytes([255]) * 16)
request = struct.pack("16sP16x", b"eth0", ctypes.addressof(features))
with socket.socket() as sock:
    found["offload"] = tried(fcntl.ioctl, sock, 0x8946, request)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(17, 103, segment)
sock.connect(("169.254.1.1", 53))
found["sent"] = 0
end = time.monotonic() + 3
while (now := time.monotonic()) < end or (found["sent"] <= 1000 and now < end + 60):
    found["sent"] += tried(sock.send, b"x" * length) == "ok"
"""
    ask = """
import time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
sock.connect(("169.254.1.1", 53))
found["missed"] = []
for number in range(20):
    sent, began = tried(sock.send, query), time.monotonic()
    got = tried(sock.recv, 512)
    if got != "ok":
        found["missed"].append((number, sent, got, tried(sock.recv, 512), time.monotonic() - began))
    time.sleep(0.1)
"""
    flooded = []

    def attack(flooder: Container, segment: int, length: int) -> None:
        flooded.append(stage.probe(flood, flooder, segment=segment, length=length))

    with stage.container() as flooder:
        stage.run(flooder.start, ProcessSpec(argv=("/bin/sleep", "1000"), cwd="/"))
        for segment, length in ((8, 500), (64, 4096), (0, 60_000)):
            thread = threading.Thread(target=attack, args=(flooder, segment, length))
            thread.start()
            found = stage.probe(ask, stage.neighbour, query=_LOCALHOST)
            thread.join()
            assert found == {"missed": []}, (found, segment, length)
    assert [found["offload"] for found in flooded] == ["EPERM"] * 3
    assert all(found["sent"] > 1000 for found in flooded), flooded
