"""What people run in an instance of this node: programs on descriptors, and connections that it makes."""

import ipaddress
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import trio

from paasd.buildpacks.launch import session_argv
from paasd.errors import PaasdError
from paasd.sandbox import AnyContainer, NotRunning, SandboxError, Session, Terminal
from paasd.sandbox.network import LINK_ADDRESS
from paasd.ssh.wire import Ask, End

GONE: Final = "The instance has ended"
RESOLVE_S: Final = 5.0
# Where distributions put it; the last word is for stacks without.
_SFTP: Final = """cd "$HOME"
for server in /usr/lib/openssh/sftp-server /usr/libexec/sftp-server /usr/lib/ssh/sftp-server; do
  if [ -x "$server" ]; then exec "$server"; fi
done
echo "the stack of this app has no sftp-server; scp -O, or tar through ssh, do without" >&2
exit 127
"""
SIGNALS: Final[Mapping[str, int]] = {
    name: getattr(signal, f"SIG{name}")
    for name in ("ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1", "USR2")
}
"""Those that ssh knows by name."""
NAMES: Final[Mapping[int, str]] = {number: name for name, number in SIGNALS.items()}


class Program(Protocol):
    """Something that runs in an instance, here or elsewhere. `ends` are its descriptors, one both ways or three."""

    @property
    def ends(self) -> tuple[int, ...]: ...

    async def wait(self) -> End:
        """How it ended; call once."""

    async def signal(self, name: str) -> None: ...

    async def resize(self, size: tuple[int, int, int, int]) -> None: ...

    def let_go(self) -> None:
        """The descriptors are somebody else's now."""


class Containers(Protocol):
    """The part of the supervisor that is needed here."""

    def container_of(self, instance_guid: str, epoch: int) -> AnyContainer | None: ...


class Programs:
    """Opens them in the instances of this node. `resolves` tells whether instances have a resolver of their own."""

    def __init__(self, containers: Containers, resolves: Callable[[], bool]) -> None:
        self._containers = containers
        self._resolves = resolves

    @asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Program]:
        """What the block leaves running is ended. Raises PaasdError, naming what is wrong to a person."""
        container = self._containers.container_of(ask.instance_guid, ask.epoch)
        if container is None or not container.running:
            raise NotRunning(GONE)
        if ask.kind == "connect":
            connection = Connection(container, await self._connect(container, ask.host, ask.port))
            try:
                yield connection
            finally:
                connection.close()
            return
        terminal = None if ask.terminal is None else Terminal(*ask.terminal)
        session = await container.open_session(argv_of(ask), ask.env, None, terminal)
        try:
            yield Running(session)
        finally:
            session.close()

    async def _connect(self, container: AnyContainer, host: str, port: int) -> int:
        if not 0 < port < 65536:
            raise SandboxError(f"{port} is no port")
        refusal: SandboxError | None = None
        for address in await self._addresses(container, host):
            try:
                return await container.connect(address, port)
            except NotRunning:
                raise
            except SandboxError as error:
                refusal = error
        raise refusal or SandboxError(f"{host} has no address")

    async def _addresses(self, container: AnyContainer, host: str) -> list[str]:
        """As the instance would see it: by the resolver that instances have, where they have one."""
        if host.lower() in ("localhost", "localhost."):
            return ["127.0.0.1", "::1"]
        with suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        if not self._resolves():
            try:
                found = await trio.socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
            except (OSError, ValueError) as error:
                raise SandboxError(f"{host} cannot be resolved: {error}") from error
            return [str(address[0]) for *_rest, address in found]
        asked = await container.connect(LINK_ADDRESS, 53, datagrams=True)
        with trio.socket.fromfd(asked, socket.AF_INET, socket.SOCK_DGRAM) as resolver:
            os.close(asked)
            return await resolve(resolver, host)


async def resolve(resolver: trio.socket.SocketType, host: str) -> list[str]:
    """The IPv4 addresses of a name, by a resolver that the socket is connected to. Raises SandboxError."""
    try:
        query = dns.message.make_query(host, dns.rdatatype.A)
        with trio.fail_after(RESOLVE_S):
            await resolver.send(query.to_wire())
            answer = dns.message.from_wire(await resolver.recv(65535))
    except (trio.TooSlowError, OSError, dns.exception.DNSException, UnicodeError) as error:
        raise SandboxError(f"{host} cannot be resolved: {error}") from error
    found = [item.address for records in answer.answer for item in records if item.rdtype == dns.rdatatype.A]
    if not found or not query.is_response(answer):
        raise SandboxError(f"{host} has no address that the instance can see")
    return found


def argv_of(ask: Ask) -> list[str]:
    """A shell and commands have the environment of the app, profile scripts included; sftp has no use for them."""
    return ["/bin/sh", "-c", _SFTP] if ask.kind == "sftp" else session_argv(ask.command)


class Running:
    """A program in an instance of this node; see `Program`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def ends(self) -> tuple[int, ...]:
        return self._session.ends

    async def wait(self) -> End:
        try:
            code = await self._session.wait()
        except NotRunning:
            return End(reason=GONE, gone=True)
        if code >= 0:
            return End(code=code)
        return End(signal=NAMES[-code]) if -code in NAMES else End(code=128 - code)

    async def signal(self, name: str) -> None:
        if name in SIGNALS:
            await self._session.signal(SIGNALS[name])

    async def resize(self, size: tuple[int, int, int, int]) -> None:
        with suppress(OSError):  # it is going
            self._session.resize(Terminal(*size))
        await trio.lowlevel.checkpoint()

    def let_go(self) -> None:
        if not self._session.has_terminal:  # the master is needed for its size
            self._session.let_go()


class Connection:
    """A connection that an instance of this node has made; it ends with the instance."""

    def __init__(self, container: AnyContainer, fd: int) -> None:
        self._container = container
        self._socket = socket.socket(fileno=fd)

    @property
    def ends(self) -> tuple[int, ...]:
        return (self._socket.fileno(),)

    async def wait(self) -> End:
        with suppress(PaasdError):
            await self._container.wait()
        with suppress(OSError):  # whoever has a copy shall have no use of it
            self._socket.shutdown(socket.SHUT_RDWR)
        return End(reason=GONE, gone=True)

    async def signal(self, name: str) -> None: ...

    async def resize(self, size: tuple[int, int, int, int]) -> None: ...

    def let_go(self) -> None: ...

    def close(self) -> None:
        self._socket.close()
