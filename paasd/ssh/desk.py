"""Answers the process that speaks ssh: who may come in, and descriptors of programs for those who are in.

It keeps who is in and looks again whenever something of their right may have changed.
"""

import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

import msgspec
import structlog
import trio

from paasd.actions import Context
from paasd.actions.ssh import Admitted, Place, Refused, Wrong, check_still, enter
from paasd.auth import Caller
from paasd.auth.service import Auth
from paasd.auth.throttle import Throttle
from paasd.containment import contained
from paasd.errors import PaasdError
from paasd.packing import UNREADABLE
from paasd.ssh.messages import (
    PACKET_LIMIT_BYTES,
    Admit,
    Arrived,
    Asked,
    Connect,
    Ended,
    Expel,
    HostKeys,
    Leave,
    Opened,
    Refuse,
    Resize,
    Shut,
    Signal,
    SignIn,
    Start,
    Told,
    decode_asked,
    encode,
)
from paasd.ssh.programs import Program
from paasd.ssh.wire import Ask

WATCHED: Final = (
    *("apps", "spaces", "organizations", "ssh_switches", "roles", "users", "instances", "deploy_tokens"),
    "factor_demands",
)
LOOK_AGAIN_S: Final = 30.0
"""Rights that end by time alone, such as those of a deploy token."""
BUSY_LIMIT: Final = 256
PATIENCE_S: Final = 30.0
FAILED: Final = "The platform failed to run it"
Opens = Callable[[Place, Ask], AbstractAsyncContextManager[Program]]


class Live:
    """One who is in, with the cancel scopes and programs of their channels."""

    def __init__(self, admitted: Admitted) -> None:
        self.admitted = admitted
        self.scopes: dict[int, trio.CancelScope] = {}


class Desk:
    """One per process that speaks ssh; when that ends, so does everything that it had open."""

    def __init__(
        self,
        context: Context,
        auth: Auth,
        opens: Opens,
        control: trio.socket.SocketType,
        throttle: Throttle,
        on_refused: Callable[[str, str, str], None],
    ) -> None:
        self._context = context
        self._auth = auth
        self._opens = opens
        self._control = control
        self._throttle = throttle
        self._on_refused = on_refused
        self._live: dict[str, Live] = {}
        self._programs: dict[int, Program] = {}
        self._busy = trio.CapacityLimiter(BUSY_LIMIT)
        self._telling = trio.Lock()

    async def serve(self) -> None:
        """Returns when the process has gone, or says what nobody understands."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_after)
            while True:
                try:
                    packet = await self._control.recv(PACKET_LIMIT_BYTES)
                except OSError:
                    packet = b""
                try:
                    message = decode_asked(packet) if packet else None
                except UNREADABLE as error:
                    structlog.get_logger("paasd.ssh").error("the ssh process talks nonsense", error=str(error))
                    message = None
                if message is None:
                    nursery.cancel_scope.cancel()
                    return
                await self._take(message, nursery)

    async def show(self, host_keys: list[bytes]) -> None:
        """Other host keys, for connections from now on."""
        await self._tell(HostKeys(host_keys))

    async def take_in(self, address: str, fd: int) -> None:
        """Somebody whose connection did not come to the listening socket."""
        await self._tell(Arrived(address), [fd])

    async def _take(self, message: Asked, nursery: trio.Nursery) -> None:
        match message:
            case SignIn():
                await self._begin(nursery, partial(self._sign_in, message))
            case Start() | Connect():
                live = self._live.get(message.session)
                if live is None or len(live.scopes) >= self._context.config.ssh.channels_per_session:
                    await self._tell(
                        Refuse(message.id, "You have too many channels open" if live else "You are not in")
                    )
                else:
                    live.scopes[message.id] = trio.CancelScope()
                    nursery.start_soon(self._run, live, message, live.scopes[message.id])
            case Resize(number, terminal) if (program := self._programs.get(number)) is not None:
                await self._begin(nursery, partial(program.resize, terminal))
            case Signal(number, name) if (program := self._programs.get(number)) is not None:
                await self._begin(nursery, partial(program.signal, name))
            case Shut(number):
                for live in self._live.values():
                    if number in live.scopes:
                        live.scopes[number].cancel()
            case Leave(session):
                self._end(session)
            case _:
                pass

    async def _begin(self, nursery: trio.Nursery, act: Callable[[], Awaitable[None]]) -> None:
        """Carry out something that may have to wait, beside others, and not too many of them."""
        token = object()
        await self._busy.acquire_on_behalf_of(token)

        async def carry_out() -> None:
            try:
                with trio.move_on_after(PATIENCE_S):
                    await contained("request of ssh", act)
            finally:
                self._busy.release_on_behalf_of(token)

        nursery.start_soon(carry_out)

    async def _sign_in(self, asked: SignIn) -> None:
        session = secrets.token_hex(16)
        try:
            admitted = await self._judge(asked, session)
            self._room(admitted.caller, admitted.place)  # others may have come in meanwhile
        except PaasdError as error:
            await self._tell(Refuse(asked.id, error.detail))
        else:
            self._live[session] = Live(admitted)
            self._say(admitted.place, f"Successful remote access by {asked.address}")
            await self._tell(Admit(asked.id, session))

    async def _judge(self, asked: SignIn, session: str) -> Admitted:
        key, clock = f"address/{asked.address}", self._context.clock
        wait_s = self._throttle.wait_s(key, clock())
        if wait_s > 0:
            self._on_refused(asked.address, asked.target, "too many wrong codes")
            raise Refused(f"Too many wrong codes; try again in {wait_s:.0f} s")
        try:
            return await enter(
                self._context, self._auth, asked.target, asked.code, asked.address, session[:16], self._room
            )
        except Wrong:
            self._throttle.failed(key, clock())
            self._on_refused(asked.address, asked.target, "wrong code")
            raise

    def _room(self, caller: Caller, place: Place) -> None:
        config = self._context.config.ssh
        others = [live.admitted for live in self._live.values()]
        if sum(one.caller.user_guid == caller.user_guid for one in others) >= config.sessions_per_user:
            raise Refused(f"You have {config.sessions_per_user} connections already")
        if sum(one.place.instance_guid == place.instance_guid for one in others) >= config.sessions_per_instance:
            raise Refused(f"There are {config.sessions_per_instance} connections to this instance already")

    async def _run(self, live: Live, asked: Start | Connect, scope: trio.CancelScope) -> None:
        """One channel, from its opening until its program has ended or nobody wants it any more."""
        place = live.admitted.place
        try:
            with scope:
                if not await contained("channel of ssh", partial(self._carry_out, place, asked), app=place.app_guid):
                    await self._end_channel(asked.id, FAILED)
        finally:
            self._programs.pop(asked.id, None)
            live.scopes.pop(asked.id, None)

    async def _carry_out(self, place: Place, asked: Start | Connect) -> None:
        try:
            async with self._opens(place, ask_of(place, asked)) as program:
                self._programs[asked.id] = program
                await self._tell(Opened(asked.id), program.ends)
                program.let_go()
                end = await program.wait()
                await self._tell(Ended(asked.id, code=end.code, signal=end.signal, reason=end.reason))
        except PaasdError as error:
            await self._end_channel(asked.id, error.detail)

    async def _end_channel(self, number: int, reason: str) -> None:
        opened = number in self._programs
        await self._tell(Ended(number, reason=reason) if opened else Refuse(number, reason))

    async def _look_after(self) -> None:
        """Show those out who may not stay."""
        async with self._context.database.watch(*WATCHED) as changes:
            while True:
                with trio.move_on_after(LOOK_AGAIN_S):
                    await changes.wait()
                changes.take()
                for session, live in list(self._live.items()):
                    try:
                        check_still(self._context, self._auth, live.admitted)
                    except PaasdError as error:  # Refused, or what it goes by is being deleted
                        await self._tell(Expel(session, error.detail))
                        self._end(session)

    def _end(self, session: str) -> None:
        """Whatever the process makes of it, nothing of a session is left running."""
        live = self._live.pop(session, None)
        if live is not None:
            self._say(live.admitted.place, f"Remote access ended for {live.admitted.caller.address}")
            for scope in live.scopes.values():
                scope.cancel()

    def _say(self, place: Place, text: str) -> None:
        """A line in the log of the app, as Cloud Foundry has it."""
        self._context.logs.say(place.app_guid, "SSH", text, instance_id=str(place.index))

    async def _tell(self, message: Told, fds: Sequence[int] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            async with self._telling:  # only one task at a time may wait for room
                await self._control.sendmsg([encode(message)], rights)
        except (OSError, trio.ClosedResourceError):
            pass  # it has gone, which `serve` sees


def ask_of(place: Place, asked: Start | Connect) -> Ask:
    """What is opened where."""
    ask = Ask(instance_guid=place.instance_guid, epoch=place.epoch, kind="connect")
    match asked:
        case Connect():
            return msgspec.structs.replace(ask, host=asked.host, port=asked.port)
        case Start():
            return msgspec.structs.replace(
                ask, kind=asked.kind, command=asked.command, terminal=asked.terminal, env=asked.env
            )
