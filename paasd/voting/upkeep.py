"""What etcd needs now and then: disk given back, one member at a time; alarms taken back; patience as the network asks.

The voter whose turn it is looks after all members; each node looks after the output of its own.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from paasd.errors import OutcomeUnknown, PaasdError
from paasd.etcd import Address, election_ms, open_client
from paasd.etcd import messages as m
from paasd.etcd.command import ELECTION_MS, HEARTBEAT_MS, QUOTA_BYTES
from paasd.model.settings import PutSetting, put_setting, read_setting
from paasd.state import Database, ReadTx
from paasd.voting.seat import Seat, client_address

ROUND_S: Final = 60.0
WASTE_BYTES: Final = 64 * 1024 * 1024
TIMES: Final = "etcd_times_ms"
"""Setting: heartbeat and election of all members, such as 100,1000."""

RoundTrip = Callable[[], float | None]


def is_wasteful(size: int, used: int) -> bool:
    """Whether a member's file holds so much that was freed that it is worth a pause of that member. Pure."""
    return size - used > WASTE_BYTES and used < size / 2


def better_times(present: tuple[int, int], round_trip_s: float) -> tuple[int, int]:
    """The present ones unless they are far from what the network asks for: a change restarts every member. Pure."""
    wanted = election_ms(round_trip_s)
    return wanted if not 2 / 3 <= wanted[1] / present[1] <= 3 / 2 else present


def read_times(tx: ReadTx) -> tuple[int, int]:
    """(heartbeat, election) in milliseconds."""
    heartbeat, _, election = read_setting(tx, TIMES, f"{HEARTBEAT_MS},{ELECTION_MS}").partition(",")
    return int(heartbeat), int(election)


class Upkeep:
    """`round_trip` is the slowest mean one between this node and another voter, None while unknown."""

    def __init__(self, seat: Seat, database: Database, acting: Callable[[], bool], round_trip: RoundTrip) -> None:
        self._seat = seat
        self._database = database
        self._acting = acting
        self._round_trip = round_trip
        self._log = structlog.get_logger(__name__)
        self.full = False
        """Whether etcd refuses writes for want of space."""

    async def keep(self) -> None:
        """For ever."""
        while True:
            await trio.sleep(ROUND_S)
            self._seat.member.limit_output()
            if self._seat.runs is None or not self._acting():
                continue
            try:
                await self.tend()
                await self._fit_times()
            except (PaasdError, OutcomeUnknown) as error:
                self._log.info("voting.upkeep_put_off", reason=str(error))

    async def tend(self) -> None:
        """Give disk back where there is much of it, while all members are well. Raises what etcd says otherwise."""
        client = await self._seat.client()
        addresses = [client_address(member) for member in await client.members() if member.clientURLs]
        alarms = [alarm for alarm in await client.alarms() if alarm.alarm == m.NO_SPACE]
        self.full = bool(alarms)
        states = {address: await self._state(address) for address in addresses}
        for address, state in states.items():
            if self.full or is_wasteful(state.dbSize, state.dbSizeInUse):
                states[address] = await self._defragment(address)
        if alarms and all(state.dbSize < QUOTA_BYTES / 2 for state in states.values()):
            for alarm in alarms:
                await client.disarm(alarm)
            self.full = False
        elif alarms:
            self._log.error("etcd.full", reason="etcd takes no writes until the log is shortened; [state] log_entries")

    async def _state(self, address: Address) -> Any:
        async with open_client(lambda: [address], self._seat.context) as client:
            return await client.status()

    async def _defragment(self, address: Address) -> Any:
        """Its state afterwards."""
        async with open_client(lambda: [address], self._seat.context) as client:
            await client.defragment()
            state = await client.status()
        self._log.info("etcd.defragmented", member=f"{address[0]}:{address[1]}", bytes=state.dbSize)
        return state

    async def _fit_times(self) -> None:
        round_trip_s = self._round_trip()
        if round_trip_s is None:
            return
        with self._database.read() as tx:
            present = read_times(tx)
        wanted = better_times(present, round_trip_s)
        if wanted != present:
            await self._database.write(put_setting, PutSetting(name=TIMES, value=f"{wanted[0]},{wanted[1]}"))
            self._log.info("voting.times", heartbeat_ms=wanted[0], election_ms=wanted[1], round_trip_s=round_trip_s)
