"""People of all roles at once, until enough is written: nobody is answered wrongly, and no write is lost."""

import ssl
from pathlib import Path

import pytest
import trio

from tests.node.daemon import running_daemon
from tests.node.harness import clients

from .crowd import Crowd

pytestmark = pytest.mark.root
SEED = 7


async def test_no_write_of_twenty_people_at_once_is_lost(tmp_path: Path) -> None:
    async with running_daemon(tmp_path / "node", "[auth]\nhash_memory_kib = 64\n") as daemon:
        context = ssl.create_default_context(cafile=str(daemon.data / "certificates/ca.pem"))
        async with clients(daemon.data, daemon.socket) as (api, _web):
            password = (daemon.data / "admin-password").read_text().strip()
            crowd = Crowd(api, daemon.https_port, "api.system.localhost", context, admin_password=password, seed=SEED)
            await crowd.gather(20, administrators=1)
            with trio.fail_after(60):
                while crowd.writes <= 10:
                    await crowd.use(2.5)
            assert dict(crowd.wrong) == {}
            assert await crowd.lost() == []
            # Something that was never written is missed.
            crowd.people[0].routes.add("never-made")
            assert await crowd.lost() == ["/v3/routes/never-made"]
            await crowd.leave()
