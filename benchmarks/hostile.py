"""What a neighbour's attacks cost: requests of an app in quiet and while two tenants attack it and its node, in turn.

    python -m benchmarks.hostile [--pairs 5] [--quiet 20] [--rate 75] [--attempts 1 2 ...]

Under attack each of two tenants makes all attempts of tests/hostile, in an order of its own, and beside them lets a
container take what it can of processor, memory, processes, disk, network and log. Together their limits are one core:
0.25 for each container, instance and build, of which a tenant uses two at a time. The platform works for them beyond
that, as it does for everybody; the attempts that are tried on the host for comparison take what is left over. Clients
send requests at a steady rate through the router. Fails when a request or an attempt failed, and when the median of the
pairs' ratios of p99 is above 2. Root only.
"""

import argparse
import gc
import os
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.losses import percentile
from paasd.sandbox import ProcessSpec, SandboxError
from tests.hostile.clients import Request, clients, read
from tests.hostile.hogs import HOGS
from tests.hostile.pair import Report, attack, attempts
from tests.hostile.stage import Stage, open_stage, program
from tests.sandbox.network.world import Outside

CORES = 0.25
RATIO_LIMIT = 2.0


class Window(NamedTuple):
    """Requests of one stretch of time, in milliseconds."""

    requests: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    failed: list[Request]


def window(requests: Sequence[Request]) -> Window:
    took = [one.took_s * 1000 for one in requests]
    failed = [one for one in requests if one.answer != "200"]
    return Window(len(took), percentile(took, 0.5), percentile(took, 0.99), max(took), failed)


@contextmanager
def hogging(stage: Stage) -> Iterator[None]:
    """One container of the tenant's takes what it can, by one means after the other, until the block ends."""
    over = threading.Event()
    with stage.container() as container:

        def hog() -> None:
            for number in range(1_000_000):
                if over.is_set():
                    return
                name = sorted(HOGS)[number % len(HOGS)]
                given = {"address": stage.outside.public, "lasting_s": 1.0}
                try:
                    stage.run(container.start, ProcessSpec(argv=program(HOGS[name], given), cwd="/"))
                    stage.run(container.wait)
                except SandboxError as error:
                    print(f"a hog ({name}) could not start: {error}", flush=True)
                    time.sleep(0.5)

        thread = threading.Thread(target=hog)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def attacked(tenants: Sequence[Stage], numbers: Sequence[int], seed: int) -> Report:
    with ExitStack() as stack:
        for tenant in tenants:
            stack.enter_context(hogging(tenant))
        return attack(tenants, [one for one in attempts() if not numbers or one.number in numbers], seed)


def run(stage: Stage, options: argparse.Namespace, file: Path) -> bool:
    """All pairs; whether everything was as it must be."""
    tenants = [stage.another(name, CORES) for name in ("ann", "bob")]
    ratios, bad = [], []
    print(f"{'pair':5}{'':8}{'requests':>9}{'p50 ms':>9}{'p99 ms':>9}{'worst ms':>10}  failed   load")
    for pair in range(1, options.pairs + 1):
        found = []
        for kind in ("quiet", "attack"):
            began = time.monotonic()
            report = None
            if kind == "quiet":
                time.sleep(options.quiet)
            else:
                report = attacked(tenants, options.attempts, pair)
            found.append(window(read(file, began, time.monotonic())))
            one, load = found[-1], os.getloadavg()[0]
            print(
                f"{pair:<5}{kind:8}{one.requests:9}{one.p50_ms:9.2f}{one.p99_ms:9.2f}{one.worst_ms:10.1f}"
                f"{len(one.failed):8}   {load:.1f}", flush=True,
            )  # fmt: skip
            bad += [f"a request: {request}" for request in one.failed]
            if report is not None:
                bad += report.failed
                print(f"     {len(report.done)} attempts made, {len(report.skipped)} left out", flush=True)
                print("".join(f"     {line}\n" for line in report.failed), end="", flush=True)
        ratios.append(found[1].p99_ms / found[0].p99_ms)
        print(f"     ratio of p99: {ratios[-1]:.2f}", flush=True)
    median = statistics.median(ratios)
    print(f"median ratio of p99: {median:.2f} (at most {RATIO_LIMIT}); {len(bad)} failures")
    print("".join(f"  {line}\n" for line in bad if line.startswith("a request")), end="")
    return not bad and median <= RATIO_LIMIT


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quiet", type=float, default=20.0, help="seconds of quiet in each pair")
    parser.add_argument("--rate", type=float, default=75.0, help="requests a second")
    parser.add_argument("--attempts", type=int, nargs="*", default=[], help="numbers; all without")
    options = parser.parse_args()
    gc.freeze()  # as `paasd serve` does: the node's event loop is in this process
    run_dir = Path(f"/run/paasd-test-{secrets.token_hex(4)}")
    run_dir.mkdir(mode=0o700)
    outside = Outside(run_dir)
    outside.start()
    try:
        with tempfile.TemporaryDirectory(prefix="paasd-hostile-") as folder:
            data = Path(folder) / "node"
            data.mkdir(mode=0o700)
            file = Path(folder) / "requests"
            with open_stage(data, outside, CORES) as stage:
                node = stage.node.node
                port, authority = node.router.https_port, node.certificates.authority_path
                with clients(port, "canary.apps.localhost", authority, options.rate, file):
                    time.sleep(2)
                    return run(stage, options, file)
    finally:
        outside.stop()
        run_dir.rmdir()


if __name__ == "__main__":
    raise SystemExit(not main())
