"""What a node answers that shares its log with others: everything that any of them acknowledged, or that it is old."""

import shutil
from pathlib import Path

from paasd.config import ApiConfig, Config, StateConfig
from paasd.state import Faults, MemoryLog
from tests.api.serving import CHEAP_HASHES, Served, serve

CONFIG = Config(
    api=ApiConfig(port=0, grace_s=1.0), auth=CHEAP_HASHES, state=StateConfig(fresh_s=0.2, write_timeout_s=0.5)
)


async def test_a_node_that_is_alone_never_says_that_it_is_old(served: Served) -> None:
    async with await served.admin() as http:
        assert "X-Paasd-Stale" not in (await http.get("/v3/apps")).headers


async def test_what_was_written_through_another_node_is_there_also_for_signing_in(tmp_path: Path) -> None:
    log = MemoryLog(1, Faults(delay_s=0.02))
    async with serve(tmp_path / "one", CONFIG, log=log.client()) as one, await one.admin() as here:
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "one" / "root-key", tmp_path / "two" / "root-key")
        async with serve(tmp_path / "two", CONFIG, log=log.client()) as two, await two.admin() as there:
            for number in range(5):
                made = await here.post("/v3/organizations", json={"name": f"org-{number}"})
                assert made.status_code == 201, made.text
                found = await there.get(f"/v3/organizations/{made.json()['guid']}")
                assert found.status_code == 200
                assert "X-Paasd-Stale" not in found.headers
                await one.make_user(f"user-{number}")
                await two.login(f"user-{number}")


async def test_without_quorum_reads_are_answered_with_their_age_and_writes_refused(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with serve(tmp_path, CONFIG, log=log.client()) as served, await served.admin() as http:
        assert "X-Paasd-Stale" not in (await http.get("/v3/organizations")).headers
        log.faults = Faults(unavailable=1)
        stale = await http.get("/v3/organizations")
        assert (stale.status_code, int(stale.headers["X-Paasd-Stale"])) in [(200, 1), (200, 2)]
        assert (await http.get("/v3/info")).status_code == 200
        refused = await http.post("/v3/organizations", json={"name": "x"})
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        log.faults = Faults(lose_request=1)
        unknown = await http.post("/v3/organizations", json={"name": "x"})
        assert unknown.status_code == 504
        assert unknown.headers["X-Paasd-Request-Id"]
        assert (await http.post("/v3/organizations", json={"name": "y"})).status_code == 503
        log.faults = Faults()


async def test_a_node_that_loads_its_state_anew_answers_503(tmp_path: Path) -> None:
    async with serve(tmp_path, CONFIG) as served, await served.admin() as http:
        served.context.database.suspect = True
        assert (await http.get("/v3/organizations")).status_code == 503
        served.context.database.suspect = False
        assert (await http.get("/v3/organizations")).status_code == 200
