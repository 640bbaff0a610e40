"""A write is sent again because its answer did not come: with a key it is carried out once, through any node."""

import shutil
from pathlib import Path

import httpx
import pytest
import trio

from paasd.config import ApiConfig, Config, StateConfig
from paasd.model import AuditEvent, Organization
from paasd.state import Faults, MemoryLog, Repeatable, repeatable
from paasd.state.engine.repeating import current_request
from tests.api.serving import CHEAP_HASHES, Served, serve

CONFIG = Config(
    api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES, state=StateConfig(fresh_s=0.3, write_timeout_s=0.4)
)
KEY = "Idempotency-Key"


async def make(http: httpx.AsyncClient, name: str, key: str | None = None) -> httpx.Response:
    return await http.post("/v3/organizations", json={"name": name}, headers={} if key is None else {KEY: key})


async def until_taken(http: httpx.AsyncClient, key: str) -> httpx.Response:
    """As a client does: again after each 503 and 504, which is what the key is for."""
    with trio.fail_after(10):
        while (answer := await make(http, "one", key)).status_code in (503, 504):
            await trio.sleep(0.05)
    return answer


def count(served: Served) -> tuple[int, int]:
    """Organizations, and audit events of their making."""
    with served.context.database.read() as tx:
        return tx.count(Organization), tx.count(AuditEvent, type="audit.organization.create")


async def test_the_same_key_brings_the_same_answer_and_another_call_under_it_does_not(served: Served) -> None:
    async with await served.admin() as http:
        first, again = await make(http, "one", "k1"), await make(http, "one", "k1")
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json()["guid"] == again.json()["guid"]
        assert (await make(http, "one")).status_code == 422, "without a key it is another request"
        assert (await make(http, "one", "k2")).status_code == 422
        other = await make(http, "two", "k1")
        assert (other.status_code, other.json()["name"]) == (201, "two"), "another content is another request"
        before = count(served)
        path = f"/v3/organizations/{first.json()['guid']}"
        assert (await http.patch(path, json={"name": "uno"}, headers={KEY: "k1"})).json()["name"] == "uno"
        assert count(served) == before
        assert (await http.get(path, headers={KEY: "k1"})).json()["name"] == "uno"


async def test_the_key_of_somebody_else_finds_nothing(served: Served) -> None:
    await served.make_user("other", ("cloud_controller.admin",))
    other = served.client((await served.login("other"))["access_token"])
    async with await served.admin() as http, other:
        assert (await make(http, "one", "k1")).status_code == 201
        assert (await make(other, "one", "k1")).status_code == 422


@pytest.mark.parametrize("key", ["x" * 129, "a b"])
async def test_what_is_no_key_is_refused(served: Served, key: str) -> None:
    async with await served.admin() as http:
        answer = await http.post("/v3/organizations", json={"name": "one"}, headers={KEY: key})
        assert (answer.status_code, KEY in answer.text) == (400, True)


@pytest.mark.parametrize("sent", ["mine", None])
async def test_a_write_of_unknown_fate_is_asked_for_again_through_another_node(
    tmp_path: Path, sent: str | None
) -> None:
    log = MemoryLog(1)
    async with serve(tmp_path / "one", CONFIG, log=log.client()) as one, await one.admin() as here:
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "one" / "root-key", tmp_path / "two" / "root-key")
        async with serve(tmp_path / "two", CONFIG, log=log.client()) as two, await two.admin() as there:
            log.faults = Faults(lose_answer=1)
            unknown = await make(here, "one", sent)
            assert unknown.status_code == 504
            key = unknown.headers[KEY]
            assert f"{KEY}: {key}" in unknown.text
            assert sent in (None, key)
            log.faults = Faults()
            # A client whose own node named the key, and one that goes to another node: both ask for the same.
            answers = [await until_taken(there, key), await until_taken(here, key)]
            assert [answer.status_code for answer in answers] == [201, 201], [answer.text for answer in answers]
            assert answers[0].json()["guid"] == answers[1].json()["guid"]
            with trio.fail_after(10):
                while count(one) != count(two):
                    await trio.sleep(0.01)
            assert count(one)[0] == 2, "the first one of every platform, and this"


def test_ids_are_the_same_the_next_time_and_differ_by_everything_that_counts() -> None:
    def ids(key: str = "k", about: str = "POST /x", content: bytes = b"") -> list[str | None]:
        request = Repeatable(key, about, again=True)
        request.bind(content)
        return [request.next_id("a"), request.next_id("b"), request.next_id("a")]

    assert ids() == ids()
    everything = [*ids(), *ids(key="l"), *ids(about="POST /y"), *ids(content=b"1")]
    assert len(set(everything)) == len(everything)


async def test_work_that_goes_on_after_the_answer_has_ids_of_its_own() -> None:
    found: list[str | None] = []
    go_on = trio.Event()

    async def later() -> None:
        await go_on.wait()
        request = current_request()
        assert request is not None
        found.append(request.next_id("a"))

    async with trio.open_nursery() as nursery:
        with repeatable(Repeatable("k", "", again=True)) as request:
            nursery.start_soon(later)
            assert request.next_id("a") is not None
        assert current_request() is None
        go_on.set()
    assert found == [None]
