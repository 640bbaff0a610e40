"""Each of the bugs that this log must not have is planted once, and the test that is there for it goes red."""

from typing import Any

import pytest
import trio

import paasd.etcd.channel
from paasd.etcd import messages as m
from paasd.state import LogUnavailable
from paasd.state.log.etcd import EtcdLog
from paasd.state.log.interface import NoAnswer, Refused
from tests.etcd import test_faults, test_log


class WithoutGuard(EtcdLog):
    """Believes that an index is next because its key does not exist."""

    def _next_is(self, index: int) -> list[Any]:
        return super()._next_is(index)[:1]


class WithLimit(EtcdLog):
    """Takes the last of the first 500 entries that it does not know for the newest."""

    async def _look(self) -> int:
        request = m.RangeRequest(key=self._key(self._newest), range_end=self._end, limit=500, keys_only=True)
        answer = await self._ask(self._client.range, request)
        if answer.kvs:
            self._learn(self._index(answer.kvs[-1].key))
        return int(answer.header.revision)


class GivesUp(EtcdLog):
    """Takes a key that is absent after a time-out for the proof that nothing happened."""

    async def append(self, index: int, data: bytes) -> Refused | None:
        try:
            return await super().append(index, data)
        except NoAnswer:
            # The key is absent on every member that answers: the one that has the request stands still.
            raise LogUnavailable("nothing was changed") from None


async def test_without_the_guard_history_is_written_over() -> None:
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True, allow_unwrapped=True):
        await test_log.test_a_node_behind_a_trimmed_log_cannot_write_over_history(WithoutGuard)


async def test_with_a_limit_the_newest_is_an_old_one() -> None:
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True, allow_unwrapped=True):
        await test_log.test_the_newest_index_is_right_at_any_lag(WithLimit)


async def test_giving_up_reports_a_write_as_refused_that_takes_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.RaisesGroup(AssertionError, flatten_subgroups=True, allow_unwrapped=True):
        await test_faults.test_a_request_that_arrives_late_takes_effect_once(monkeypatch, GivesUp)


async def test_without_a_ping_a_watch_stays_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paasd.etcd.channel, "SILENCE_S", 3600.0)
    with pytest.RaisesGroup(trio.TooSlowError, flatten_subgroups=True, allow_unwrapped=True):
        await test_faults.test_a_connection_that_was_cut_silently_is_noticed()
