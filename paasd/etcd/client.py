"""Calls to whichever member of etcd answers: short attempts, and another member when one does not.

What an error means for a write is the caller's business: `Unreachable` says that nothing was sent, everything else that
the outcome is unknown.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from paasd.errors import PaasdError
from paasd.etcd import messages as m
from paasd.etcd.channel import Channel, Lost, Refused, Unreachable, open_channel
from paasd.etcd.connecting import Address, Connect, connect_first

ATTEMPT_S: Final = 0.4
SLOW_S: Final = 10.0
RETURN_S: Final = 5.0
"""So long after a member was left it is not tried again, unless no other answers."""

_DEADLINE: Final = 4
_UNAVAILABLE: Final = 14  # also: no leader, the leader has changed, it took too long
_KV: Final = "/etcdserverpb.KV/"
_CLUSTER: Final = "/etcdserverpb.Cluster/"
_MAINTENANCE: Final = "/etcdserverpb.Maintenance/"


class Client:
    """Made by `open_client`. `endpoints` are asked for anew at every attempt, the preferred one first."""

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Address]],
        context: Callable[[], ssl.SSLContext],
        nursery: trio.Nursery,
        attempt_s: float,
        connect: Connect,
    ) -> None:
        self.attempt_s = attempt_s
        """How long one member may take for an ordinary answer; a member that is cut off never answers."""
        self._endpoints = endpoints
        self._context = context
        self._nursery = nursery
        self._connect = connect
        self._channel: Channel | None = None
        self._address: Address | None = None
        self._skip = 0
        self._left_at = -RETURN_S
        self._connecting = trio.Lock()

    @property
    def address(self) -> Address | None:
        """The member that was asked last."""
        return self._address

    async def channel(self) -> Channel:
        """A connection that works, as far as one knows. Raises Unreachable when no member can be reached."""
        async with self._connecting:
            known = self._endpoints()
            if self._channel is not None:
                if self._channel.broken is None and self._address in known and not self._may_return(known[0]):
                    return self._channel
                self._drop(self._channel)
            turn = self._skip % len(known) if known else 0
            order = [*known[turn:], *known[:turn]]
            self._address, self._channel = await connect_first(order, self._tls, self._nursery, self._connect)
            if self._address != known[turn]:
                self._skip = known.index(self._address)
                self._left_at = trio.current_time()
            return self._channel

    def _tls(self) -> ssl.SSLContext:
        try:
            return self._context()
        except OSError as error:
            raise Unreachable(f"this node's certificate for etcd cannot be used: {error}") from error

    def leave(self, channel: Channel) -> None:
        """This connection's member does not answer: the next call goes to another one."""
        if self._channel is channel:
            self._go_elsewhere()
        channel.close("its member of etcd did not answer another call")

    def _drop(self, channel: Channel) -> None:
        """Broken, or to a member that is not to be asked any more; calls under way are left to end."""
        self._channel = None
        if channel.broken is None:
            channel.close_when_idle()

    def _go_elsewhere(self) -> None:
        self._channel = None
        self._skip += 1
        self._left_at = trio.current_time()

    def _may_return(self, preferred: Address) -> bool:
        """Whether it is time to try the member again that is nearest."""
        if self._address == preferred or trio.current_time() - self._left_at < RETURN_S:
            return False
        self._skip = 0
        return True

    async def _call(self, method: str, request: Any, answer: Any, timeout_s: float | None = None) -> Any:
        channel = await self.channel()
        limit_s = self.attempt_s if timeout_s is None else timeout_s
        with trio.move_on_after(limit_s):
            try:
                return answer.FromString(await channel.unary(method, request.SerializeToString()))
            except Lost:
                self.leave(channel)
                raise
            except Refused as error:
                if error.status in (_UNAVAILABLE, _DEADLINE):
                    self.leave(channel)
                raise
        self.leave(channel)
        raise Lost(f"etcd did not answer {method} within {limit_s} s")

    async def range(self, request: Any, timeout_s: float | None = None) -> Any:
        """Linearizable."""
        return await self._call(_KV + "Range", request, m.RangeResponse, timeout_s)

    async def txn(self, request: Any) -> Any:
        return await self._call(_KV + "Txn", request, m.TxnResponse)

    async def delete_range(self, request: Any) -> Any:
        return await self._call(_KV + "DeleteRange", request, m.DeleteRangeResponse, SLOW_S)

    async def compact(self, revision: int) -> None:
        request = m.CompactionRequest(revision=revision, physical=True)
        await self._call(_KV + "Compact", request, m.CompactionResponse, SLOW_S)

    async def members(self) -> list[Any]:
        """Every member: ID, name, peerURLs, clientURLs, isLearner."""
        return list((await self._call(_CLUSTER + "MemberList", m.MemberListRequest(), m.MemberListResponse)).members)

    async def add_learner(self, peer_url: str) -> Any:
        """A member that receives and does not vote."""
        request = m.MemberAddRequest(peerURLs=[peer_url], isLearner=True)
        return (await self._call(_CLUSTER + "MemberAdd", request, m.MemberAddResponse, SLOW_S)).member

    async def promote(self, member_id: int) -> None:
        """From learner to voter. Raises Refused while it lags."""
        request = m.MemberPromoteRequest(ID=member_id)
        await self._call(_CLUSTER + "MemberPromote", request, m.MembersResponse, SLOW_S)

    async def remove(self, member_id: int) -> None:
        """Out for good: its data directory is of no more use."""
        await self._call(_CLUSTER + "MemberRemove", m.MemberRemoveRequest(ID=member_id), m.MembersResponse, SLOW_S)

    async def status(self) -> Any:
        """Of the member that is asked: leader, dbSize, isLearner, errors."""
        return await self._call(_MAINTENANCE + "Status", m.StatusRequest(), m.StatusResponse)

    async def move_leader(self, member_id: int) -> None:
        """Only the member that leads can hand its lead over, to this voter."""
        request = m.MoveLeaderRequest(targetID=member_id)
        await self._call(_MAINTENANCE + "MoveLeader", request, m.MoveLeaderResponse, SLOW_S)

    async def alarms(self) -> list[Any]:
        """What etcd raises, such as alarm 1 (NOSPACE): memberID, alarm."""
        return list((await self._call(_MAINTENANCE + "Alarm", m.AlarmRequest(), m.AlarmResponse)).alarms)

    async def disarm(self, alarm: Any) -> None:
        """Take an alarm back whose cause is gone."""
        request = m.AlarmRequest(action=m.DEACTIVATE, memberID=alarm.memberID, alarm=alarm.alarm)
        await self._call(_MAINTENANCE + "Alarm", request, m.AlarmResponse)

    async def defragment(self) -> None:
        """The member that is asked gives back disk; it answers nothing meanwhile."""
        await self._call(_MAINTENANCE + "Defragment", m.DefragmentRequest(), m.DefragmentResponse, 60.0)

    @asynccontextmanager
    async def watch(self, key: bytes, range_end: bytes, revision: int) -> AsyncIterator[AsyncIterator[Any]]:
        """Events of a range from a revision on, as answers of etcd. Raises Lost, Refused or Unreachable."""
        channel = await self.channel()
        create = m.WatchCreateRequest(key=key, range_end=range_end, start_revision=revision)
        # A member that has no leader must end the watch instead of going on in silence.
        async with channel.call("/etcdserverpb.Watch/Watch", (("hasleader", "true"),)) as (number, inbox):
            channel.send(number, m.WatchRequest(create_request=create).SerializeToString(), finish=False)

            async def events() -> AsyncIterator[Any]:
                async for item in inbox:
                    if isinstance(item, PaasdError):
                        self.leave(channel)
                        raise item
                    answer = m.WatchResponse.FromString(item)
                    if answer.canceled:
                        raise Lost("etcd ended the watch")
                    yield answer

            yield events()


@asynccontextmanager
async def open_client(
    endpoints: Callable[[], Sequence[Address]],
    context: Callable[[], ssl.SSLContext],
    attempt_s: float = ATTEMPT_S,
    connect: Connect = open_channel,
) -> AsyncIterator[Client]:
    """Calls until the block ends; `context` gives the TLS of a new connection, which `connect` makes.

    What the block raises of ours comes out as it is, not in a group: callers catch it by its type.
    """
    failure: PaasdError | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield Client(endpoints, context, nursery, attempt_s, connect)
        except PaasdError as error:
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
