"""Attempts 26 to 31, 33, 34: reach hosts, neighbours and the platform over the network, or take it from others."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from paasd.config import NetworkConfig, SandboxConfig
from paasd.sandbox import ContainerSpec, EgressRule, ProcessSpec, open_sandbox
from paasd.sandbox.network import links
from tests.sandbox.network.world import Outside, connects, host_addresses, listening
from tests.sandbox.place import output

from .stage import NEIGHBOUR_PORT, SMALL, Stage, last_object, on_host, program

pytestmark = pytest.mark.root


@contextmanager
def out_there(machine: Outside, kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    """A socket of the machine that plays the internet, bound on all its addresses."""

    def make() -> socket.socket:
        if kind == socket.SOCK_STREAM:
            return listening("0.0.0.0")
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("0.0.0.0", 0))
        return sock

    with links.in_namespace(make, machine.path) as sock:
        sock.settimeout(5)
        yield sock


def test_26_abstract_sockets_of_the_host_do_not_exist(stage: Stage) -> None:
    code = """
def reach():
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\\0" + name)
found["reach"] = tried(reach)
"""
    name = f"hostile-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        assert on_host(code, name=name) == {"reach": "ok"}
        assert stage.probe(code, name=name) == {"reach": "ECONNREFUSED"}
    own = f"bound = socket.socket(socket.AF_UNIX); bound.bind('\\0' + name); bound.listen()\n{code}"
    assert stage.probe(own, name=name) == {"reach": "ok"}


def test_27_sockets_of_the_platform_are_not_there(stage: Stage) -> None:
    run = stage.node.node.directory / "run"
    containers = stage.node.node.directory / "sandbox/containers"
    # By os.walk, which does not mind what goes meanwhile: others attack as well.
    found = (Path(place, name) for root in (run, containers) for place, _, names in os.walk(root) for name in names)
    sockets = [str(path) for path in found if path.is_socket()]
    assert any(path.endswith("api.sock") for path in sockets)
    assert any(path.endswith("control.sock") for path in sockets)
    sockets += ["/run/systemd/private", "/run/dbus/system_bus_socket", "/var/run/docker.sock"]
    code = """
def reach(path):
    directory, base = os.path.split(path)
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(base)
for path in sockets:
    found[path] = tried(reach, path)
"""
    assert set(stage.probe(code, sockets=sockets).values()) == {"ENOENT"}
    outside = on_host(code, sockets=sockets)
    # Containers of others may have gone meanwhile, those of this test and the node have not.
    assert [outside[path] for path in sockets if path.endswith("api.sock")] == ["ok"], outside
    assert "ok" in {outside[path] for path in sockets if path.endswith("control.sock")}, outside


def test_28_there_is_no_shared_segment_to_spoof_on(stage: Stage) -> None:
    code = """
found["packet"] = open_socket(17, 3, 0x0806)
found["neighbours"] = [line.split() for line in open("/proc/net/arp")][1:]
found["interfaces"] = sorted(name for _, name in socket.if_nameindex())
import fcntl, struct
with socket.socket() as sock:
    request = struct.pack("16s2H4s8x", b"eth0", 2, 0, bytes([10, 254, 0, 99]))
    found["address"] = tried(fcntl.ioctl, sock, 0x8916, request)
    found["hardware"] = tried(fcntl.ioctl, sock, 0x8924, struct.pack("16sH6s8x", b"eth0", 1, b"\\2abcde"))
    found["promiscuous"] = tried(fcntl.ioctl, sock, 0x8914, struct.pack("16sH14x", b"eth0", 0x1143))
    found["arp entry"] = tried(fcntl.ioctl, sock, 0x8955, bytes(68))
    found["own address"] = tried(fcntl.ioctl, sock, 0x8915, struct.pack("16s16x", b"eth0"))
"""
    inside = stage.probe(code)
    assert inside["own address"] == "ok"
    assert inside["interfaces"] == ["eth0", "lo"]
    assert {entry[0] for entry in inside["neighbours"]} <= {"169.254.1.1"}
    for name in ("packet", "address", "hardware", "promiscuous", "arp entry"):
        assert inside[name] == "EPERM", inside


def test_29_forged_addresses_are_dropped(stage: Stage, outside: Outside) -> None:
    """First as the tenant can, by IP_FREEBIND; then as one who had taken over the kernel's end of the link."""
    code = """
IP_FREEBIND = 15
for source in sources:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        tried(sock.bind, (source, 0))
        tried(sock.sendto, source.encode(), (target, port))
        found["spoof " + source] = tried(sock.setsockopt, socket.IPPROTO_IP, 19, 1)
"""
    own, other = stage.attacker.address, stage.neighbour.address
    forged = [other, "198.51.100.250", outside.host_side, "127.0.0.1", "169.254.1.1"]
    attachments = stage.node.node.sandbox.network.list().values()
    namespace = next(one.netns_path for one in attachments if one.address == own)

    def send_forged() -> None:
        for source in (other, "198.51.100.250"):
            with links.netlink() as ip:
                ip.addr("add", index=1, address=source, prefixlen=32)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(source.encode(), (outside.public, port))
            with links.netlink() as ip:
                ip.addr("delete", index=1, address=source, prefixlen=32)

    with out_there(outside, socket.SOCK_DGRAM) as inbox:
        port = inbox.getsockname()[1]
        inside = stage.probe(code, sources=[own, *forged], target=outside.public, port=port)
        assert set(inside.values()) == {"EPERM"}, "transparent sockets are not for tenants"
        links.in_namespace(send_forged, namespace)
        stage.probe(code, sources=[own], target=outside.public, port=port)
        received = [inbox.recvfrom(100) for _ in range(2)]
        assert [text for text, _source in received] == [own.encode()] * 2, "only the true address came through"
        assert {source[0] for _text, source in received} == {outside.host_side}
        inbox.settimeout(0.3)
        with pytest.raises(TimeoutError):
            inbox.recvfrom(100)


def test_30_neighbours_are_out_of_reach_directly_and_through_the_host(stage: Stage, outside: Outside) -> None:
    address = stage.neighbour.address
    stage.until(lambda: connects(address, NEIGHBOUR_PORT), bool)
    canary = stage.instance(stage.run(stage.node.app, "canary")["guid"])
    code = """
for address, port in targets:
    found[f"{address}:{port}"] = connect(address, port)
found["own"] = connect("127.0.0.1", own)
"""
    with out_there(outside) as server:
        port = server.getsockname()[1]
        targets = [
            (address, NEIGHBOUR_PORT),
            (canary.address, 8080),
            (outside.host_side, NEIGHBOUR_PORT),
            ("169.254.1.1", NEIGHBOUR_PORT),
            (outside.public, port),
        ]
        inside = stage.probe(code, targets=targets, own=1)
    assert connects(canary.address, 8080)
    assert inside.pop(f"{outside.public}:{port}") == "ok"
    assert inside.pop("own") == "ECONNREFUSED"
    assert "ok" not in inside.values(), inside
    lookup = "found['own'] = connect('127.0.0.1', 8080)"
    assert stage.probe(lookup, stage.neighbour) == {"own": "ok"}


def test_31_ports_of_the_host_and_metadata_services_are_out_of_reach(stage: Stage, outside: Outside) -> None:
    node = stage.node.node
    ports = [22, node.doors.port, node.router.http_port, node.router.https_port]
    addresses = ["127.0.0.1", "169.254.1.1", outside.host_side, *host_addresses()]
    code = """
for address in addresses:
    for port in ports:
        found[f"{address}:{port}"] = connect(address, port, 0.3)
for address in metadata:
    found[address] = connect(address, port, 0.3)
found["internet"] = connect(internet, port)
"""
    with out_there(outside) as server, listening("0.0.0.0") as everywhere:
        port = server.getsockname()[1]
        mine = everywhere.getsockname()[1]
        assert all(connects(address, mine) for address in addresses), "the host reaches itself"
        assert connects(outside.metadata, port), "the host reaches the metadata service"
        inside = stage.probe(
            code.replace("for address in metadata", "port = outer\nfor address in metadata"),
            addresses=addresses,
            ports=[*ports, mine],
            metadata=[
                outside.metadata,
                "169.254.169.254",
                "100.100.100.200",
                "192.0.0.192",
                "168.63.129.16",
                "0.0.0.0",
                "224.0.0.1",
            ],
            internet=outside.public,
            outer=port,
        )
    assert inside.pop("internet") == "ok"
    assert "ok" not in inside.values(), inside


def test_33_low_ports_and_port_exhaustion_stay_in_ones_own_network(stage: Stage) -> None:
    code = """
def bound(port):
    sock = socket.socket()
    sock.bind(("0.0.0.0", port))
    return sock
for port in (22, 53, 80, 443, 1023):
    found[str(port)] = tried(bound, port)
found["8081"] = tried(bound, 8081)
held = []
def exhaust():
    while len(held) < 230:
        held.append(bound(0))
        held[-1].listen(4096)
found["many"] = tried(exhaust)
found["range"] = tried(write, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
"""
    inside = stage.probe(code)
    assert inside.pop("8081") == inside.pop("many") == "ok"
    assert set(inside.values()) <= {"EACCES", "EROFS"}, inside
    assert stage.probe("s = socket.socket(); found['b'] = tried(s.bind, ('', 8081))", stage.neighbour) == {"b": "ok"}
    low = "s = socket.socket(); found['b'] = tried(s.bind, ('127.0.0.77', 1023))"
    assert on_host(low) == {"b": "ok"}


def test_34_bandwidth_is_held_where_the_operator_limits_it(stage: Stage, outside: Outside, tmp_path: Path) -> None:
    limited = NetworkConfig(uplinks=(outside.interface,), upload_mbit=8, download_mbit=8)
    free = NetworkConfig(uplinks=(outside.interface,))
    assert uploaded_mbit(stage, outside, limited, tmp_path / "limited") < 16
    assert uploaded_mbit(stage, outside, free, tmp_path / "free") > 50


def uploaded_mbit(stage: Stage, outside: Outside, network: NetworkConfig, data: Path) -> float:
    """What a container of a small node of its own sends in half a second, counted where it arrives."""
    code = """
import time
with socket.create_connection((address, port)) as sock:
    end = time.monotonic() + 0.6
    sock.settimeout(0.2)
    while time.monotonic() < end:
        tried(sock.send, b"x" * 65536)
"""
    counted: list[float] = []

    def count(server: socket.socket) -> None:
        stream, _peer = server.accept()
        with stream:
            stream.settimeout(1)
            began, total = time.monotonic(), 0
            try:
                while chunk := stream.recv(1 << 20):
                    total += len(chunk)
                    if time.monotonic() - began > 0.6:
                        break
            except TimeoutError:
                pass
            counted.append(total * 8 / 1e6 / max(0.1, time.monotonic() - began))

    async def send(port: int) -> None:
        async with open_sandbox(SandboxConfig(), data, network=network, keep=False) as sandbox:
            spec = ContainerSpec(guid="hog", limits=SMALL, egress=(EgressRule("0.0.0.0/0"),))
            container = await sandbox.create(spec)
            given = {"address": outside.public, "port": port}
            await container.start(ProcessSpec(argv=program(code, given), cwd="/"))
            await container.wait()
            assert last_object(output(container.spool)) == {}

    with out_there(outside) as server:
        server.settimeout(60)  # a whole sandbox begins first, while others attack
        thread = threading.Thread(target=partial(count, server))
        thread.start()
        stage.run(send, server.getsockname()[1])
        thread.join()
    return counted[0]
