"""A simulated etcd: linearizable, with members, a leader that needs a majority, slow disks, and answers that get lost.

`connect_from` is what `paasd.etcd.open_client` takes for `connect`, so the real client and the real log run against it.
Of a write that gets no answer nobody can tell whether it took effect: it may be under way for seconds (`late`), be
applied and its answer lost (`lose_answer`), be caught by a change of leaders, or be refused for lack of space by
the member that was asked after the others had carried it out (`full`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio

from paasd.errors import PaasdError
from paasd.etcd import Lost, Refused, Unreachable
from paasd.etcd import messages as m
from paasd.etcd.channel import CONNECT_S, SILENCE_S
from tests.simulation.joint.fabric import Fabric

TICK_S = 0.2
ELECTION_S = (0.4, 1.2)
_UNAVAILABLE = 14
_EXHAUSTED = 8


class EtcdCluster:
    """`slow_s` is the longest time that a member's disk takes for a commit."""

    def __init__(self, fabric: Fabric, seed: int, members: list[str]) -> None:
        self.fabric = fabric
        self.random = Random(f"etcd {seed}")
        self.members = members
        self.leader: str | None = members[0]
        self.slow_s: dict[str, float] = dict.fromkeys(members, 0.001)
        self.lose_answer = 0.0
        self.late = 0.0
        self.full = False
        self.lose_event = 0.0
        self.keys: dict[bytes, tuple[int, bytes]] = {}  # created at which revision, value
        self.revision = 1
        self.on_put: Callable[[bytes, bytes], None] = lambda _key, _value: None
        self.nursery: trio.Nursery
        self._past: list[tuple[int, int, bytes, bytes]] = []  # revision, type, key, value
        self._elected_at = 0.0
        self._channels: list[Channel] = []

    async def run(self) -> None:
        """Elections, and connections that are found to be dead."""
        while True:
            now = trio.current_time()
            if self.leader is not None and not self.leads(self.leader):
                self.fabric.note(f"etcd {self.leader} leads no more")
                self.leader, self._elected_at = None, now + self.random.uniform(*ELECTION_S)
            if self.leader is None and now >= self._elected_at:
                able = [one for one in self.members if self.leads(one)]
                if able:
                    self.leader = self.random.choice(able)
                    self.fabric.note(f"etcd {self.leader} leads")
            for channel in list(self._channels):
                channel.look(now)
            await trio.sleep(TICK_S)

    def leads(self, member: str) -> bool:
        return sum(self.fabric.both_ways(member, other) for other in self.members) * 2 > len(self.members)

    def serves(self, member: str) -> bool:
        """Whether what is asked there comes to the leader and back."""
        return self.leader is not None and self.leads(self.leader) and self.fabric.both_ways(member, self.leader)

    def depose(self) -> None:
        """The leader stalls; another takes over."""
        self.leader, self._elected_at = None, trio.current_time() + self.random.uniform(*ELECTION_S)

    async def ask(self, node: str, member: str, method: str, message: bytes) -> bytes:
        """As a client on `node` sees it. Hangs when the answer, or the question, gets lost."""
        fabric = self.fabric
        await trio.sleep(fabric.delay(node, member))
        if not fabric.passes(node, member):
            await trio.sleep_forever()
        writes = not method.endswith("Range") or method.endswith("DeleteRange")
        if writes:
            answers: list[bytes | PaasdError] = []
            done = trio.Event()
            self.nursery.start_soon(self._write, member, method, message, answers, done)
            await done.wait()
            answer = answers[0]
        else:
            answer = await self._read(member, message)
        await trio.sleep(fabric.delay(member, node))
        if not fabric.passes(member, node) or (writes and self.random.random() < self.lose_answer):
            fabric.note(f"etcd {member} > {node} lost")
            await trio.sleep_forever()
        if isinstance(answer, PaasdError):
            raise answer
        return answer

    async def _read(self, member: str, message: bytes) -> bytes | PaasdError:
        await self._to_leader(member)
        if not self.serves(member):
            return Refused(_UNAVAILABLE, "etcdserver: no leader")
        return bytes(self._range(m.RangeRequest.FromString(message)).SerializeToString())

    async def _write(
        self, member: str, method: str, message: bytes, answers: list[bytes | PaasdError], done: trio.Event
    ) -> None:
        """Goes on whether anybody still waits for it or not."""
        if self.random.random() < self.late:
            await trio.sleep(self.random.uniform(0.3, 3.0))
        await self._to_leader(member)
        leader = self.leader
        if not self.serves(member) or leader is None:
            answers.append(Refused(_UNAVAILABLE, "etcdserver: no leader"))
        else:
            slow_s = sorted(self.slow_s[one] for one in self.members)[len(self.members) // 2]
            await trio.sleep(self.random.uniform(0.0, slow_s) + 2 * self.fabric.delay(member, ""))
            answers.append(self._commit(leader, method, message))
        done.set()

    async def _to_leader(self, member: str) -> None:
        if self.leader not in (None, member):
            await trio.sleep(2 * self.fabric.delay(member, str(self.leader)))

    def _commit(self, leader: str, method: str, message: bytes) -> bytes | PaasdError:
        same = leader == self.leader and self.leads(leader)
        if not same:
            # A proposal of a leader that fell may be in the log of the next one, or not.
            if self.leads_somebody() and self.random.random() < 0.5:
                self._apply(method, message)
            return Refused(_UNAVAILABLE, "etcdserver: leader changed")
        if self.full and method.endswith("Txn"):
            if self.random.random() < 0.3:
                self._apply(method, message)
            return Refused(_EXHAUSTED, "etcdserver: mvcc: database space exceeded")
        return self._apply(method, message)

    def leads_somebody(self) -> bool:
        return any(self.leads(member) for member in self.members)

    # What is the same on all members.

    def _apply(self, method: str, message: bytes) -> bytes:
        if method.endswith("Txn"):
            return bytes(self._txn(m.TxnRequest.FromString(message)).SerializeToString())
        if method.endswith("DeleteRange"):
            request = m.DeleteRangeRequest.FromString(message)
            gone = self._within(request.key, request.range_end)
            if gone:
                self.revision += 1
            for key in gone:
                del self.keys[key]
                self._past.append((self.revision, 1, key, b""))
            self.fabric.note(f"etcd deletes {len(gone)}")
            return bytes(m.DeleteRangeResponse(header=self._header(), deleted=len(gone)).SerializeToString())
        assert method.endswith("Compact"), method
        return bytes(m.CompactionResponse(header=self._header()).SerializeToString())

    def _txn(self, request: Any) -> Any:
        succeeded = all(self._holds(compare) for compare in request.compare)
        answer = m.TxnResponse(header=self._header(), succeeded=succeeded)
        for operation in request.success if succeeded else request.failure:
            if operation.HasField("request_put"):
                put = operation.request_put
                self.revision += 1
                created = self.keys[put.key][0] if put.key in self.keys else self.revision
                self.keys[put.key] = created, put.value
                self._past.append((self.revision, 0, put.key, put.value))
                self.fabric.note(f"etcd put {put.key.rpartition(b'/')[2].decode()}")
                self.on_put(put.key, put.value)
                answer.responses.append(m.ResponseOp())
            else:
                answer.responses.append(m.ResponseOp(response_range=self._range(operation.request_range)))
        if succeeded:
            self._tell()
        return answer

    def _holds(self, compare: Any) -> bool:
        created = self.keys[compare.key][0] if compare.key in self.keys else 0
        if compare.result == m.EQUAL:
            return bool(created == compare.create_revision)
        return bool(created > compare.create_revision)

    def _range(self, request: Any) -> Any:
        found = sorted(self._within(request.key, request.range_end))
        limited = found[: request.limit] if request.limit else found
        answer = m.RangeResponse(header=self._header(), count=len(found), more=len(limited) < len(found))
        for key in limited:
            created, value = self.keys[key]
            kept = b"" if request.keys_only else value
            answer.kvs.append(m.KeyValue(key=key, create_revision=created, mod_revision=created, value=kept))
        return answer

    def _within(self, key: bytes, end: bytes) -> list[bytes]:
        if not end:
            return [key] if key in self.keys else []
        return [one for one in self.keys if key <= one < end]

    def _header(self) -> Any:
        return m.ResponseHeader(revision=self.revision)

    # Watches.

    def _tell(self) -> None:
        for channel in list(self._channels):
            channel.tell()

    def since(self, revision: int) -> list[tuple[int, int, bytes, bytes]]:
        found = []
        for one in reversed(self._past):
            if one[0] < revision:
                break
            found.append(one)
        return found[::-1]

    # Connections.

    def connect_from(self, node: str) -> Callable[..., Awaitable["Channel"]]:
        async def connect(address: tuple[str, int], _context: Any, _nursery: trio.Nursery) -> Channel:
            member = address[0]
            await trio.sleep(self.fabric.delay(node, member))
            if not self.fabric.both_ways(node, member):
                await trio.sleep(CONNECT_S if self.fabric.up(member) else 0.0)
                raise Unreachable(f"etcd at {member} cannot be reached")
            channel = Channel(self, node, member)
            self._channels.append(channel)
            return channel

        return connect

    def forget(self, channel: "Channel") -> None:
        if channel in self._channels:
            self._channels.remove(channel)


Inbox = trio.MemorySendChannel[bytes | PaasdError]


class Channel:
    """One connection; in place of `paasd.etcd.channel.Channel`."""

    def __init__(self, cluster: EtcdCluster, node: str, member: str) -> None:
        self.broken: PaasdError | None = None
        self._cluster = cluster
        self._node = node
        self._member = member
        self._heard_at = trio.current_time()
        self._scopes: set[trio.CancelScope] = set()
        self._watches: list[tuple[Inbox, list[int]]] = []
        self._inboxes: dict[int, Inbox] = {}
        self._last_event_at = 0.0

    async def unary(self, method: str, message: bytes) -> bytes:
        if self.broken is not None:
            raise Lost(self.broken.detail)
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                return await self._cluster.ask(self._node, self._member, method, message)
            finally:
                self._scopes.discard(scope)
        raise Lost("the connection to etcd broke")

    @asynccontextmanager
    async def call(self, _method: str, _metadata: Any = ()) -> AsyncIterator[tuple[int, Any]]:
        if self.broken is not None:
            raise Lost(self.broken.detail)
        number = len(self._inboxes) + 1
        self._inboxes[number], inbox = trio.open_memory_channel[bytes | PaasdError](10_000)
        try:
            yield number, inbox
        finally:
            self._watches = [one for one in self._watches if one[0] is not self._inboxes[number]]

    def send(self, number: int, message: bytes, *, finish: bool) -> None:
        create = m.WatchRequest.FromString(message).create_request
        self._watches.append((self._inboxes[number], [create.start_revision]))
        self.tell()

    def tell(self) -> None:
        """Events come in order, a moment after they happened."""
        fabric = self._cluster.fabric
        arrival = max(self._last_event_at, trio.current_time() + fabric.delay(self._member, self._node))
        self._last_event_at = arrival
        if self._watches:
            fabric.post.at(arrival, self._bring)

    def _bring(self) -> None:
        cluster = self._cluster
        if self.broken is not None or not cluster.fabric.passes(self._member, self._node):
            return
        if not cluster.serves(self._member):
            return  # it lags behind until it has a leader again, or ends the watch
        for inbox, position in self._watches:
            events = cluster.since(position[0])
            position[0] = cluster.revision + 1
            if cluster.random.random() < cluster.lose_event:
                events = events[:-1]
            if events:
                told = [m.Event(type=kind, kv=m.KeyValue(key=key, value=value)) for _, kind, key, value in events]
                inbox.send_nowait(m.WatchResponse(events=told).SerializeToString())

    def look(self, now: float) -> None:
        """Pings: who has not heard for a while gives the connection up. A member without leader ends watches."""
        fabric = self._cluster.fabric
        if fabric.both_ways(self._node, self._member):
            self._heard_at = now
            if not self._cluster.serves(self._member):
                self._fail_watches(Refused(_UNAVAILABLE, "etcdserver: no leader"))
            else:
                self._bring()
        elif now - self._heard_at > SILENCE_S or self._member in fabric.down:
            self.close("etcd has gone silent")

    def close(self, reason: str) -> None:
        if self.broken is None:
            self.broken = Lost(reason)
            self._fail_watches(Lost(reason))
            for scope in list(self._scopes):
                scope.cancel()
            self._cluster.forget(self)

    def close_when_idle(self) -> None:
        if not self._scopes and not self._watches:
            self.close("the connection to etcd is of no more use")

    def _fail_watches(self, error: PaasdError) -> None:
        watches, self._watches = self._watches, []
        for inbox, _ in watches:
            inbox.send_nowait(error)
