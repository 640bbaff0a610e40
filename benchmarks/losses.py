"""What the loss of a node costs: real hosts in namespaces, three zones, clients at 100 requests a second and more.

Each loss kills every process of one node and takes its link down, the nodes in turn, the first one too. Measured from
that moment, by clients: the end of the last failed request through the other nodes, the first answer of an instance
that replaces the lost one, and the longest pause between two acknowledged writes. Each node that is lost has an
instance; another node has none and reaches both by tunnels. There is no peer to compare with; beside each figure stands
its budget. In the end the history of all writes and reads must be linearizable. Root only:

    python -m benchmarks.losses [--losses 30]

So many losses within minutes are no accident any more for a platform with the defaults: it would brake, and keep a node
that dies again and again waiting. The settings that forgive it more are printed; they touch none of the figures.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from tests.cluster.cluster import Member
from tests.cluster.scene import FAILED_LIMIT_S, REPLACED_LIMIT_S, WRITES_LIMIT_S, Scene, scene

REPLACED_MEDIAN_S = 8.0
FORGIVING = """
[liveness]
flap_grace_s = 1.0
flap_grace_limit_s = 1.0
brake_window_s = 1.0
"""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """One loss, in seconds; `failed` of `requests` through the others were not answered with 200."""

    node: str
    failed_s: float
    replaced_s: float
    writes_s: float
    failed: int
    requests: int
    back_s: float


async def lose(found: Scene, member: Member) -> Window:
    """Lose a node, wait until all that is to be measured has happened, and take it back."""
    rest = found.others(member)
    await found.steady()
    lost_at = time.monotonic()
    await trio.to_thread.run_sync(member.lose)
    replaced_s = await found.replaced(lost_at, rest)
    await found.register.until_written(max(lost_at + WRITES_LIMIT_S, time.monotonic()))
    bad, total = found.failures(lost_at, rest), found.requests(lost_at, rest)
    measured = found.last_failure_s(lost_at, rest), found.register.longest_gap_s(lost_at)
    began = time.monotonic()
    member.host.power_on()
    member.start()
    await member.until_answering()
    await found.all_well(limit_s=180)
    return Window(
        node=member.name,
        failed_s=measured[0],
        replaced_s=replaced_s,
        writes_s=measured[1],
        failed=len(bad),
        requests=len(total),
        back_s=time.monotonic() - began,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed; of few values the p99 is the largest."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def report(windows: Sequence[Window]) -> bool:
    """Print the table; whether every budget was kept."""
    rows = [
        ("last failed request", [one.failed_s for one in windows], None, FAILED_LIMIT_S),
        ("replaced and serving", [one.replaced_s for one in windows], REPLACED_MEDIAN_S, REPLACED_LIMIT_S),
        ("longest pause of writes", [one.writes_s for one in windows], None, WRITES_LIMIT_S),
        ("back with all its parts", [one.back_s for one in windows], None, None),
    ]
    kept = True
    print(f"\n{len(windows)} losses; seconds{'':15} p50    p99    max  budget (p50, p99)")
    for name, values, median_limit, limit in rows:
        p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
        well = (median_limit is None or p50 <= median_limit) and (limit is None or p99 <= limit)
        kept = kept and well
        budget = "-" if limit is None else f"{median_limit or '-'}, {limit}  {'kept' if well else 'MISSED'}"
        print(f"{name:28} {p50:6.2f} {p99:6.2f} {max(values):6.2f}  {budget}")
    failed, requests = sum(one.failed for one in windows), sum(one.requests for one in windows)
    print(f"failed requests through other nodes: {failed} of {requests} in the windows")
    return kept


async def main(losses: int, directory: Path) -> bool:
    """So many losses, in turn."""
    print(f"settings: {' '.join(FORGIVING.split())}", flush=True)
    windows = []
    async with scene(directory, sections=FORGIVING, busy=False) as found:
        for number in range(losses):
            window = await lose(found, found.platform.members[number % len(found.platform.members)])
            windows.append(window)
            print(
                f"{number + 1:3} {window.node}: last failed {window.failed_s:5.2f}  replaced {window.replaced_s:5.2f}  "
                f"writes {window.writes_s:5.2f}  failed {window.failed}/{window.requests}  back {window.back_s:5.2f}",
                flush=True,
            )
    print("the history of writes and reads is linearizable, and no refused write was seen")
    return report(windows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", type=int, default=30)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paasd-losses-") as folder:
        raise SystemExit(not trio.run(main, arguments.losses, Path(folder)))
