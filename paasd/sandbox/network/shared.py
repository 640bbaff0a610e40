"""Shared rules of a node in its kernel: groups, callers, the doorway, other nodes. A change is one transaction."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from paasd.sandbox.network import policies
from paasd.sandbox.network.nft import Nft, NftError
from paasd.sandbox.network.policies import Call, GroupRule


class Shared:
    """What is set here stays in the kernel when the daemon goes; the next one sets it anew."""

    def __init__(self, nft: Nft, table: str, in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._nft = nft
        self._table = table
        self._in_thread = in_thread

    async def set_group(self, name: str, rules: Iterable[GroupRule]) -> None:
        """What instances that follow this group may reach. Raises Unprocessable, NftError."""
        await self._run(policies.group(self._table, name, rules))

    async def set_caller(self, name: str, calls: Iterable[Call]) -> None:
        """Where instances that call as `name` get through to the doorway. Raises Unprocessable, NftError."""
        await self._run(policies.caller(self._table, name, calls))

    async def set_doorway(self, port: int) -> None:
        """Where calls are taken, at the link address of this host."""
        await self._run(policies.doorway(self._table, port))

    async def set_nodes(self, addresses: Iterable[str], *, keep: bool = False) -> None:
        """IPv4 addresses of other nodes, of which only web ports can be opened; `keep` leaves those from before."""
        await self._run(policies.nodes(self._table, addresses, keep=keep))

    async def keep_only(self, groups: Iterable[str], callers: Iterable[str]) -> None:
        """Forget all other shared rules. Those that an instance still follows stay."""
        names = await self._in_thread(partial(self._nft.names, self._table, "chain"))
        known_groups, known_callers = policies.shared_names(names)
        unwanted = [policies.forget_group(self._table, name) for name in sorted(known_groups - set(groups))]
        unwanted += [policies.forget_caller(self._table, name) for name in sorted(known_callers - set(callers))]
        for commands in unwanted:
            try:
                await self._run(commands)
            except NftError:
                continue

    async def _run(self, commands: str) -> None:
        await self._in_thread(partial(self._nft.run, commands))
