"""What befalls a simulated platform. Each takes the platform and a random source."""

from collections.abc import Awaitable, Callable
from random import Random

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.model import App, Process
from paasd.model.arguments import SYSTEM
from paasd.model.draining import DrainNode, drain_node, undrain_node
from paasd.state import Tx, operation
from tests.simulation.joint.platform import Platform


class Change(msgspec.Struct):
    app_guid: str
    instances: int = 0


@operation("test.joint_restart", version=1)
def restart(tx: Tx, args: Change) -> None:
    app = tx.need(App, args.app_guid)
    tx.update(app, version=app.version + 1)


@operation("test.joint_scale", version=1)
def scale(tx: Tx, args: Change) -> None:
    tx.update(tx.need(Process, f"{args.app_guid}-web"), instances=args.instances)


def _some(platform: Platform, random: Random) -> str:
    return random.choice(list(platform.zones))


async def isolate(platform: Platform, random: Random) -> None:
    platform.fabric.note("isolate")
    platform.fabric.isolate(_some(platform, random))


async def isolate_zone(platform: Platform, random: Random) -> None:
    platform.fabric.note("isolate a zone")
    zone = random.choice(sorted(set(platform.zones.values())))
    platform.fabric.isolate(*[guid for guid, one in platform.zones.items() if one == zone])


async def cut_one_way(platform: Platform, random: Random) -> None:
    one, *others = random.sample(list(platform.zones), random.randint(2, len(platform.zones)))
    platform.fabric.note(f"cut {one} one way")
    ways = ([one], others) if random.random() < 0.5 else (others, [one])
    platform.fabric.cut(*ways, both=False)


async def pause(platform: Platform, random: Random) -> None:
    platform.pause(_some(platform, random))


async def heal(platform: Platform, random: Random) -> None:
    platform.fabric.note("heal")
    platform.fabric.heal()


async def lose_daemon(platform: Platform, random: Random) -> None:
    guid = _some(platform, random)
    await platform.kill(guid)
    _later(platform, random.choice([0.5, 3.0, 12.0]), lambda: platform.start(guid))


async def lose_machine(platform: Platform, random: Random) -> None:
    guid = _some(platform, random)
    await platform.lose(guid)
    if guid not in platform.etcd.members and random.random() < 0.5:
        platform.wipe(guid)
    _later(platform, random.choice([1.0, 8.0, 20.0]), lambda: platform.boot(guid))


async def restart_everything(platform: Platform, random: Random) -> None:
    for guid in platform.zones:
        await platform.kill(guid)
    await trio.sleep(random.random())
    for guid in platform.zones:
        platform.start(guid)


async def slow_disk(platform: Platform, random: Random) -> None:
    guid = _some(platform, random)
    platform.fabric.note(f"slow disk of {guid}")
    platform.machines[guid].slow_disk_s = random.choice([0.0, 0.02, 0.3])
    if guid in platform.etcd.members:
        platform.etcd.slow_s[guid] = random.choice([0.001, 0.05, 0.5])


async def bad_network(platform: Platform, random: Random) -> None:
    platform.fabric.note("bad network")
    platform.fabric.loss = random.choice([0.0, 0.02, 0.2])
    platform.fabric.duplication = random.choice([0.0, 0.05])
    platform.fabric.late = random.choice([0.0, 0.05])
    low = random.choice([0.0005, 0.02])
    platform.fabric.delay_s = platform.network.delay_s = (low, low * 4)


async def bad_etcd(platform: Platform, random: Random) -> None:
    platform.fabric.note("bad etcd")
    etcd = platform.etcd
    etcd.lose_answer = random.choice([0.0, 0.05, 0.3])
    etcd.late = random.choice([0.0, 0.05, 0.2])
    etcd.lose_event = random.choice([0.0, 0.1])


async def full_etcd(platform: Platform, random: Random) -> None:
    platform.fabric.note("etcd is full")
    platform.etcd.full = True

    def freed() -> None:
        platform.etcd.full = False

    _later(platform, random.uniform(0.5, 4.0), freed)


async def other_leader(platform: Platform, random: Random) -> None:
    platform.fabric.note("etcd's leader stalls")
    platform.etcd.depose()


async def set_clock(platform: Platform, random: Random) -> None:
    platform.machines[_some(platform, random)].offset_s += random.uniform(-20, 20)


async def app_crashes(platform: Platform, random: Random) -> None:
    running = [one for machine in platform.machines.values() for one in machine.containers.values() if one.running]
    if running:
        random.choice(running).crash()


async def roll_out(platform: Platform, random: Random) -> None:
    app = random.choice([*(name for name, _ in platform.shape.apps), *platform.shape.singles])
    await _write(platform, random, restart, Change(app))


async def scale_app(platform: Platform, random: Random) -> None:
    app = random.choice([name for name, _ in platform.shape.apps])
    await _write(platform, random, scale, Change(app, random.randint(1, 4)))


async def drain(platform: Platform, random: Random) -> None:
    change = DrainNode(node_guid=_some(platform, random), actor=SYSTEM)
    await _write(platform, random, random.choice([drain_node, undrain_node]), change)


async def _write(platform: Platform, random: Random, operation: object, change: object) -> None:
    """Through any node; what is refused is refused."""
    daemons = platform.open_daemons()
    if daemons:
        try:
            await random.choice(daemons).database.write(operation, change, timeout_s=2)  # type: ignore[arg-type]
        except PaasdError:
            return


def _later(platform: Platform, seconds: float, action: Callable[[], None]) -> None:
    platform.fabric.post.at(trio.current_time() + seconds, action)


def calm(platform: Platform) -> None:
    """Everything is well from now on, save what takes its time."""
    platform.fabric.note("all is well")
    for guid in platform.zones:
        platform.machines[guid].slow_disk_s = 0.0
        platform.boot(guid)
    etcd, fabric = platform.etcd, platform.fabric
    etcd.slow_s.update(dict.fromkeys(etcd.members, 0.001))
    etcd.lose_answer = etcd.late = etcd.lose_event = 0.0
    etcd.full = False
    fabric.loss = min(fabric.loss, 0.02)
    fabric.duplication = fabric.late = 0.0
    fabric.delay_s = platform.network.delay_s = (0.0005, 0.003)
    fabric.heal()


Fault = Callable[[Platform, Random], Awaitable[None]]
FAULTS: list[Fault] = [
    isolate,
    isolate,
    isolate_zone,
    cut_one_way,
    cut_one_way,
    pause,
    heal,
    heal,
    heal,
    lose_daemon,
    lose_daemon,
    lose_machine,
    lose_machine,
    restart_everything,
    slow_disk,
    bad_network,
    bad_etcd,
    bad_etcd,
    full_etcd,
    other_leader,
    set_clock,
    app_crashes,
    roll_out,
    roll_out,
    scale_app,
    drain,
]
