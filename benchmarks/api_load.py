"""The API under 200 people of mixed roles: lost writes, memory, and the ten most used calls beside a bare hello.

    python -m benchmarks.api_load [--people 200] [--minutes 3] [--hello 5]

One node as users run it; the calls come over TLS through its router, each person sends one after the other without a
pause, so the times are those of a full house: people / (requests per second). The peer is hypercorn with a quart-trio
app that says hello, over TLS too, asked in the same way by as many connections before and after. Afterwards every write
that was acknowledged is looked up. Fails when one is missing, a call was answered otherwise than it should be, or the
daemon's memory grew more in the last third than --growth. Root only.
"""

import argparse
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from benchmarks.losses import percentile
from benchmarks.measured import Node, running_node
from paasd.router import open_certificates
from tests.load.connection import Connection
from tests.load.crowd import Crowd
from tests.node.harness import free_port

HELLO = """
import sys
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart_trio import QuartTrio

app = QuartTrio("hello")

@app.get("/")
async def hello():
    return {"hello": "world"}

config = Config()
config.bind = [f"127.0.0.1:{sys.argv[1]}"]
config.certfile, config.keyfile, config.keep_alive_max_requests = sys.argv[2], sys.argv[3], 1_000_000_000
trio.run(serve, app, config)
"""
SAMPLE_S = 1.0


@asynccontextmanager
async def hello(directory: Path) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    """The peer, in a process of its own."""
    certificates = open_certificates(directory / "tls", "apps.localhost", "system.localhost")
    port = free_port()
    words = [str(port), str(directory / "tls/apps.pem"), str(directory / "tls/apps.key")]
    process = await trio.to_thread.run_sync(
        lambda: subprocess.Popen([sys.executable, "-c", HELLO, *words], stderr=subprocess.DEVNULL)
    )
    try:
        context = ssl.create_default_context(cafile=str(certificates.authority_path))
        with trio.fail_after(30):
            while not await _answers(port, context):  # noqa: ASYNC110
                await trio.sleep(0.1)
        yield port, context
    finally:
        process.terminate()
        process.wait()


async def _answers(port: int, context: ssl.SSLContext) -> bool:
    connection = Connection(port, "hello.apps.localhost", context)
    try:
        return (await connection.call("GET", "/")).status == 200
    except OSError:
        return False
    finally:
        with trio.CancelScope(shield=True):
            await connection.close()


async def ask_hello(port: int, context: ssl.SSLContext, connections: int, seconds: float) -> list[float]:
    """So many connections that ask without a pause; the times of all answers, in seconds."""
    took: list[float] = []

    async def ask() -> None:
        connection = Connection(port, "hello.apps.localhost", context)
        while True:
            began = time.perf_counter()
            assert (await connection.call("GET", "/")).status == 200
            took.append(time.perf_counter() - began)

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(ask)
    return took


def rss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


async def sample(node: Node, samples: list[float]) -> None:
    while True:
        samples.append(rss_mb(node.pid))
        await trio.sleep(SAMPLE_S)


def show(name: str, took: Sequence[float], seconds: float, base: float) -> None:
    p50, p99 = (percentile(took, share) * 1000 for share in (0.5, 0.99))
    rate = len(took) / seconds
    print(f"{name:46}{len(took):8}{rate:9.1f}{p50:10.1f}{p99:10.1f}{base:12.1f}", flush=True)


async def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--hello", type=float, default=5.0, help="seconds of the peer, twice")
    parser.add_argument("--growth", type=float, default=24.0, help="MB that memory may grow in the last third")
    options = parser.parse_args()
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="paasd-load-") as folder:
        directory = Path(folder)
        async with hello(directory) as (port, context):
            peers = await ask_hello(port, context, options.people, options.hello)
            async with running_node(directory / "node", (free_port(), free_port(), free_port())) as node:
                await node.start()
                crowd, samples = await used(node, options.people, seconds)
                lost = await crowd.lost()
                await crowd.leave()
            peers += await ask_hello(port, context, options.people, options.hello)
        return report(crowd, peers, samples, lost, seconds, options)


async def used(node: Node, people: int, seconds: float) -> tuple[Crowd, list[float]]:
    """A crowd that has used the node for so long, and the daemon's memory in MB, each second."""
    context = ssl.create_default_context(cafile=str(node.data / "certificates/ca.pem"))
    password = (node.data / "admin-password").read_text().strip()
    target = node.api, node.https_port, "api.system.localhost", context
    crowd = Crowd(*target, admin_password=password, seed=1)
    began = time.perf_counter()
    await crowd.gather(people, administrators=max(1, people // 40))
    print(f"{people} people joined and signed in within {time.perf_counter() - began:.1f} s", flush=True)
    crowd.took_s.clear()
    samples: list[float] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sample, node, samples)
        await crowd.use(seconds)
        nursery.cancel_scope.cancel()
    return crowd, samples


def report(
    crowd: Crowd, peers: list[float], samples: list[float], lost: list[str], seconds: float, options: argparse.Namespace
) -> bool:
    base = len(peers) / (2 * options.hello)
    print(f"load of this machine {os.getloadavg()[0]:.1f}")
    print(f"{'call':46}{'calls':>8}{'/s':>9}{'p50 ms':>10}{'p99 ms':>10}{'hello /s':>12}")
    most = sorted(crowd.took_s.items(), key=lambda item: -len(item[1]))
    for name, took in most[:10]:
        show(name, took, seconds, base)
    everything = [one for took in crowd.took_s.values() for one in took]
    show("all calls together", everything, seconds, base)
    show("bare quart-trio hello", peers, 2 * options.hello, base)
    third = max(1, len(samples) // 3)
    means = [statistics.fmean(samples[at : at + third]) for at in (0, third, len(samples) - third)]
    growth = means[2] - means[1]
    print(f"memory of the daemon in MB: first {samples[0]:.0f}, last {samples[-1]:.0f}, most {max(samples):.0f};"
          f" mean of each third {', '.join(f'{one:.0f}' for one in means)}")  # fmt: skip
    written = sum(len(person.values) + len(person.routes) for person in crowd.people)
    print(
        f"{written} values and routes looked up afterwards, {len(lost)} lost; {sum(crowd.wrong.values())} wrong answers"
    )
    for line in [*lost[:20], *(f"{count} x {what}" for what, count in crowd.wrong.most_common(20))]:
        print(f"  {line}")
    return not lost and not crowd.wrong and growth <= options.growth


if __name__ == "__main__":
    raise SystemExit(not trio.run(main))
