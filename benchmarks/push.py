"""A whole node as a person meets it: start, pushes, one more instance, fifty instances, what it takes when idle.

    sudo .venv/bin/python benchmarks/push.py [--rounds 3] [--instances 50] [--parts push idle fifty]

Peers in the same run: for a cold push, `uv pip install` with an empty cache and mksquashfs by hand; for an app's start,
the same gunicorn started bare; for fifty instances, fifty bare processes of the same program. Every number is the least
of its rounds, since what else the machine does can only add to it.
"""

import argparse
import gzip
import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import trio
from measured import Node, Table, cpu_s, pss_mb, running_node

from paasd.router.engine.engine import claim_port

EXAMPLES = Path(__file__).parent.parent / "examples"
SERVER = """
import http.server, os, socketserver
class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"up\\n")
socketserver.TCPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
"""
PARTS = ["idle", "push", "fifty"]
MANIFEST = "applications:\n- name: hello\n  memory: 64M\n  disk_quota: 128M\n"


def package(source: Path) -> bytes:
    """A tar.gz; equal sources make equal bytes, as with the CLI."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        archive.add(source, ".", filter=lambda entry: entry.replace(mtime=0, deep=False))
    return packed.getvalue()


def bare_start_s(command: list[str], cwd: Path, path: str, port: int) -> float:
    """Seconds from exec to the first answer, with nothing of a platform around it."""
    began = time.perf_counter()
    env = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    if httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200:
                        return time.perf_counter() - began
                except httpx.TransportError:
                    time.sleep(0.005)
        finally:
            process.terminate()


def by_hand(app: Path) -> tuple[float, Path]:
    """Install an app's requirements and pack them, as one would by hand: seconds, and where they are."""
    tool, target = app.parent / "uv", app.parent / f"{app.name}-by-hand"
    if not tool.exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tool), "uv"], check=True)
    began = time.perf_counter()
    install = ["pip", "install", "--quiet", "--no-cache", "--compile-bytecode", "--target", str(target)]
    python = ["--python", sys.executable, "-r", str(app / "requirements.txt")]
    subprocess.run([str(tool / "bin/uv"), *install, *python], check=True)
    squash = ["mksquashfs", str(target), f"{target}.sqfs", "-quiet", "-no-progress", "-comp", "zstd"]
    subprocess.run(squash, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began, target


async def push_until_200(node: Node, name: str, source: Path, path: str, shown: str) -> tuple[float, dict[str, float]]:
    """Seconds from the first byte of the upload to the first answer of the new version; and the push's waterfall."""
    bits, manifest = package(source), (source / "manifest.yml").read_text()
    began = time.perf_counter()
    result = await node.push(name, bits, manifest)
    answer = await node.get(name, path)
    while answer.status_code != 200 or shown not in answer.text:
        await trio.sleep(0.005)
        answer = await node.get(name, path)
    return time.perf_counter() - began, {one["name"]: one["duration_s"] for one in result["waterfall"]}


def described(steps: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * took:.0f}" for name, took in steps.items()) + " ms"


async def pushes(node: Node, table: Table, scratch: Path, rounds: int, name: str, module: str, path: str) -> float:
    """Cold, lock file unchanged, nothing changed. Returns the bare start of the app, in seconds."""
    source = scratch / name
    shutil.copytree(EXAMPLES / name, source)
    hand_s, installed = by_hand(source)
    port = claim_port("127.0.0.1", 0, "port")
    os.environ["PYTHONPATH"] = str(installed)
    command = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", module]
    bare_s = min(bare_start_s(command, source, path, port) for _ in range(rounds))
    del os.environ["PYTHONPATH"]
    cold_s, steps = await push_until_200(node, name, source, path, "")
    table.add(f"{name}: cold push to first 200", cold_s, "s", 10, f"uv + mksquashfs by hand {hand_s:.2f} s")
    print(f"    {described(steps)}")
    for what, budget in (("source changed, lock file unchanged", 2.0), ("nothing changed", 1.0)):
        best = []
        for number in range(rounds):
            if budget == 2.0:
                changed = f"round-{number}-{time.monotonic_ns()}"
                (source / "changed.py").write_text(f"# {changed}\n")
            best.append(await push_until_200(node, name, source, path, ""))
        took_s, steps = min(best, key=lambda one: one[0])
        table.add(f"{name}: {what}, to first 200", took_s, "s", budget, f"bare start of the app {bare_s:.2f} s")
        print(f"    {described(steps)}")
    return bare_s


async def starts(node: Node, table: Table, rounds: int) -> None:
    took_s = await node.start()
    table.add("fresh start to serving API", took_s, "s", 2, f"processor time of it {cpu_s(node.pid):.2f} s")
    again = []
    for _ in range(rounds):
        await node.stop()
        again.append((await node.start(), cpu_s(node.pid)))
    took_s, used_s = min(again)
    table.add("start on an existing directory", took_s, "s", 2, f"processor time of it {used_s:.2f} s")


async def one_more(node: Node, table: Table, rounds: int, bare_s: float) -> None:
    guid, took = await node.app_guid("django-app"), []
    for _ in range(rounds):
        took.append(await node.scale(guid, 2))
        await node.scale(guid, 1)
    table.add("one more instance, less the app's own start", min(took) - bare_s, "s", 0.5, f"whole {min(took):.2f} s")


async def fifty(node: Node, table: Table, scratch: Path, count: int) -> None:
    source = scratch / "hello"
    source.mkdir()
    (source / "server.py").write_text(SERVER)
    (source / "Procfile").write_text("web: python3 server.py\n")
    (source / "manifest.yml").write_text(MANIFEST)
    await push_until_200(node, "hello", source, "/", "up")
    ports = [claim_port("127.0.0.1", 0, "port") for _ in range(count)]
    began = time.perf_counter()
    with ExitStack() as stack:
        for port in ports:
            command = ["/usr/bin/python3", "server.py"]
            env = {**os.environ, "PORT": str(port)}
            process = subprocess.Popen(command, cwd=source, env=env, stderr=subprocess.DEVNULL)  # noqa: ASYNC220
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port in ports:
            await until_listening(port)
        bare_s = time.perf_counter() - began
    guid = await node.app_guid("hello")
    up_s = await node.scale(guid, count)
    table.add(f"{count} instances up", up_s, "s", None, f"{count} bare processes {bare_s:.2f} s")
    print(f"    load {os.getloadavg()[0]:.1f}; {1000 * up_s / count:.0f} ms each")
    memory = sum(map(pss_mb, node.shims())) / count
    table.add("shim of each, PSS", memory, "MB", 5)
    down_s = await node.scale(guid, 1)
    table.add(f"{count - 1} instances down", down_s, "s")


async def until_listening(port: int) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        await trio.sleep(0.005)


async def idle(node: Node, table: Table, seconds: float, what: str) -> None:
    """Two looks at the processor time, so that the second is not about what went before."""
    await trio.sleep(3)
    envoys, zygotes = node.envoys(), node.zygotes()
    both = [node.pid, *envoys]
    before = sum(map(cpu_s, both))
    await trio.sleep(seconds)
    used = (sum(map(cpu_s, both)) - before) / seconds * 100
    parts = f"paasd {pss_mb(node.pid):.0f}, Envoy {sum(map(pss_mb, envoys)):.0f}, "
    parts += f"zygote {sum(map(pss_mb, zygotes)):.1f} MB"
    table.add(f"memory, {what}: paasd + Envoy + zygote, PSS", sum(map(pss_mb, [*both, *zygotes])), "MB", 150, parts)
    table.add(f"processor, {what}: paasd + Envoy", used, "%", 1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instances", type=int, default=50)
    parser.add_argument("--idle-seconds", type=float, default=20)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    ports = tuple(claim_port("127.0.0.1", 0, "port") for _ in range(3))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="paasd-bench-") as name:
        scratch, table = Path(name), Table()
        async with running_node(scratch / "node", (ports[0], ports[1], ports[2])) as node:
            await starts(node, table, options.rounds)
            if "idle" in options.parts:
                await idle(node, table, options.idle_seconds, "idle and empty")
            if "push" in options.parts:
                bare_s = await pushes(node, table, scratch, options.rounds, "django-app", "shop.wsgi", "/items")
                await one_more(node, table, options.rounds, bare_s)
                await pushes(node, table, scratch, options.rounds, "flask-app", "app:app", "/health")
                await idle(node, table, options.idle_seconds, "idle with two apps")
                for others, app in ((1, "django-app"), (0, "flask-app")):
                    await node.scale(await node.app_guid(app), 0, others)
            if "fifty" in options.parts:
                await fifty(node, table, scratch, options.instances)
    print(f"missed: {', '.join(table.missed) or 'nothing'}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    trio.run(main)
