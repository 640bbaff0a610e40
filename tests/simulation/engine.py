"""Many cores in virtual time: one heap of events, one seed, and every fault that a network and a machine can have.

Three verbs make a simulation:

    world.add(name, core, perform)     a node: `core` has `receive(now, message)`, `wake(now)` and `deadline`; both
                                       return effects, and `perform(effect)` carries each of them out
    world.send(source, target, message)    a message under way, with the delay and the faults of that link; with
                                       `reliable=True` as over a stream: in order, whole, once, or not at all
    world.at(when, action)             anything else that happens: a fault, a write, an operator

Then `world.run(until)`. What must always hold goes into `world.invariants` and is called after every event. Clocks of
cores may run at another rate and from another origin (`rate`, `offset`): only their own clock reaches them.

Faults: `cut`/`heal` a direction, `partition`/`heal_all`, `pause` a node (its messages wait in its socket, its timers
fire late), `crash` it. Everything is drawn from `world.random`, so a seed replays bit for bit; `world.trace` is a hash
of all that happened. Any other core (placement, a log client) joins by `add`: the engine knows no kind of message.
"""

import heapq
import zlib
from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Protocol

Action = Callable[[], None]
SOCKET_LIMIT = 2000
"""Datagrams that wait for a paused node; the kernel drops what comes after."""
INSTANT_LIMIT = 20_000
"""More events than this at one time are a core that wants to be woken for ever and does nothing."""


class Core(Protocol):
    @property
    def deadline(self) -> float: ...

    def receive(self, now: float, message: Any) -> Iterable[Any]: ...

    def wake(self, now: float) -> Iterable[Any]: ...


class Broken(AssertionError):
    """An invariant does not hold. The message names the seed, the time and the last events."""


class Host:
    """A core with its clock and its faults."""

    def __init__(self, name: str, core: Core, perform: Callable[[Any], None], rate: float, offset: float) -> None:
        self.name = name
        self.core = core
        self.perform = perform
        self.rate = rate
        self.offset = offset
        self.scheduled = float("inf")
        self.paused_until = 0.0
        self.inbox: list[Any] = []

    def local(self, now: float) -> float:
        return self.offset + now * self.rate

    def due(self) -> float:
        return (self.core.deadline - self.offset) / self.rate


class World:
    """See the module."""

    def __init__(
        self,
        seed: int,
        *,
        delay_s: tuple[float, float] = (0.0005, 0.002),
        loss: float = 0.0,
        duplication: float = 0.0,
        late: float = 0.0,
    ) -> None:
        """`loss`, `duplication` and `late` (arrives up to a second after what was sent later) are chances."""
        self.seed = seed
        self.random = Random(seed)
        self.now = 0.0
        self.delay_s = delay_s
        self.loss = loss
        self.duplication = duplication
        self.late = late
        self.hosts: dict[str, Host] = {}
        self.invariants: list[Action] = []
        self.touched: set[str] = set()  # who did something in this event, for invariants that look at those alone
        self.trace = 0
        self.events = 0
        self.last: list[str] = []
        self.link_delay: Callable[[str, str], float] = lambda _source, _target: 0.0
        self._cut: set[tuple[str, str]] = set()
        self._heap: list[tuple[float, int, Action]] = []
        self._order = 0
        self._idle = False
        self._streams: dict[tuple[str, str], float] = {}

    # The three verbs.

    def add(
        self, name: str, core: Core, perform: Callable[[Any], None], *, rate: float = 1.0, offset: float = 0.0
    ) -> Host:
        """A node comes up. One of the same name before it is gone."""
        host = self.hosts[name] = Host(name, core, perform, rate, offset)
        self._schedule(host)
        return host

    def send(self, source: str, target: str, message: Any, *, reliable: bool = False) -> None:
        if not self.passes(source, target):
            return
        delay = self.random.uniform(*self.delay_s) + self.link_delay(source, target)
        if reliable:
            arrival = max(self._streams.get((source, target), 0.0), self.now + delay)
            self._streams[source, target] = arrival
            self.at(arrival, lambda: self._deliver(source, target, message))
            return
        copies = 2 if self.random.random() < self.duplication else 1
        for _ in range(copies):
            if self.random.random() < self.loss:
                continue
            extra = self.random.random() if self.random.random() < self.late else 0.0
            self.at(self.now + delay + extra, lambda: self._deliver(source, target, message))

    def at(self, when: float, action: Action) -> None:
        self._order += 1
        heapq.heappush(self._heap, (max(when, self.now), self._order, action))

    # Faults.

    def cut(self, source: str, target: str) -> None:
        self._note(f"cut {source} {target}")
        self._cut.add((source, target))

    def heal(self, source: str, target: str) -> None:
        self._cut.discard((source, target))

    def partition(self, *groups: Iterable[str]) -> None:
        """Nodes of different groups do not reach each other."""
        sides = [list(group) for group in groups]
        for one in sides:
            for other in sides:
                if one is not other:
                    for source in one:
                        for target in other:
                            self.cut(source, target)

    def heal_all(self) -> None:
        self._note("heal")
        self._cut.clear()

    def pause(self, name: str, duration_s: float) -> None:
        """It stands still: messages wait in its socket, and its timers fire when it goes on."""
        host = self.hosts[name]
        self._note(f"pause {name} {duration_s:.3f}")
        host.paused_until = max(host.paused_until, self.now + duration_s)
        self.at(host.paused_until, lambda: self._resume(host))

    def is_paused(self, name: str) -> bool:
        return name in self.hosts and self.hosts[name].paused_until > self.now

    def crash(self, name: str) -> None:
        self._note(f"crash {name}")
        self.hosts.pop(name, None)

    def passes(self, source: str, target: str) -> bool:
        return (source, target) not in self._cut and source in self.hosts and target in self.hosts

    # Running.

    def run(self, until: float) -> None:
        same = 0
        while self._heap and self._heap[0][0] <= until:
            before = self.now
            self.now, _, action = heapq.heappop(self._heap)
            same = same + 1 if self.now == before else 0
            if same > INSTANT_LIMIT:
                raise self._broken("no end of events at one time")
            self._idle = False
            self.touched.clear()
            action()
            if not self._idle:
                self.events += 1
                self._check()
        self.now = until

    def _check(self) -> None:
        for invariant in self.invariants:
            try:
                invariant()
            except AssertionError as error:
                raise self._broken(str(error)) from error

    def _broken(self, why: str) -> Broken:
        story = "\n".join(self.last[-20:])
        return Broken(f"seed {self.seed}, {self.now:.6f} s: {why}\n{story}")

    def poke(self, name: str) -> None:
        """The core was told something outside of its verbs, so its deadline may be another."""
        self._schedule(self.hosts[name])

    def _deliver(self, source: str, target: str, message: Any) -> None:
        host = self.hosts.get(target)
        if host is None or (source, target) in self._cut:
            return
        if host.paused_until > self.now:
            if len(host.inbox) < SOCKET_LIMIT:
                host.inbox.append((source, message))
            return
        self._receive(host, source, message)

    def _receive(self, host: Host, source: str, message: Any) -> None:
        self._note(f"{source} -> {host.name} {type(message).__name__}")
        self._carry_out(host, host.core.receive(host.local(self.now), message))

    def _resume(self, host: Host) -> None:
        if self.hosts.get(host.name) is not host or host.paused_until > self.now:
            return
        self._note(f"resume {host.name}")
        inbox, host.inbox = host.inbox, []
        wake_first = self.random.random() < 0.5
        if wake_first:
            self._wake(host)
        for source, message in inbox:
            if self.hosts.get(host.name) is host:
                self._receive(host, source, message)
        if not wake_first:
            self._wake(host)

    def _timer(self, host: Host, due: float) -> None:
        if host.scheduled != due:
            self._idle = True  # another time has been set since
            return
        host.scheduled = float("inf")
        self._wake(host)

    def _wake(self, host: Host) -> None:
        if self.hosts.get(host.name) is not host or host.paused_until > self.now:
            return
        if host.due() <= self.now + 1e-9:
            self._note(f"wake {host.name}")
            self._carry_out(host, host.core.wake(max(host.local(self.now), host.core.deadline)))
        else:
            self._schedule(host)

    def _carry_out(self, host: Host, effects: Iterable[Any]) -> None:
        self.touched.add(host.name)
        for effect in effects:
            host.perform(effect)
        self._schedule(host)

    def _schedule(self, host: Host) -> None:
        due = max(host.due(), self.now)
        if due < host.scheduled and due != float("inf"):
            host.scheduled = due
            self.at(due, lambda: self._timer(host, due))

    def _note(self, what: str) -> None:
        line = f"{self.now:.6f} {what}"
        self.trace = zlib.crc32(line.encode(), self.trace)
        self.last.append(line)
        if len(self.last) > 200:
            del self.last[:100]
