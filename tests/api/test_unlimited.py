"""The status says what several organizations share without a limit, until there is one."""

from pathlib import Path

import msgspec

from paasd.actions.unlimited import BANDWIDTH, MEMORY, PORTS, WRITES
from paasd.config import Config, NetworkConfig, RouterConfig, SandboxConfig
from tests.api.serving import API, CHEAP_HASHES, serve
from tests.api.tenants import make_tenant

SHARED = {BANDWIDTH, MEMORY, PORTS, WRITES}
AS_INSTALLED = Config(api=API, auth=CHEAP_HASHES)
ROUTER = RouterConfig(tcp_ports="20000-20099")
NETWORK, SANDBOX = NetworkConfig(upload_mbit=200, download_mbit=200), SandboxConfig(disk_write_bytes_per_s=50_000_000)


async def test_the_status_says_what_organizations_share_without_a_limit(tmp_path: Path) -> None:
    limited = msgspec.structs.replace(AS_INSTALLED, network=NETWORK, sandbox=SANDBOX)
    half = msgspec.structs.replace(limited, network=NetworkConfig(upload_mbit=200), router=ROUTER)
    for config, shared in (
        (AS_INSTALLED, SHARED - {PORTS}),
        (half, {MEMORY, BANDWIDTH, PORTS}),
        (limited, {MEMORY}),
    ):
        config = msgspec.structs.replace(config, data=str(tmp_path))
        async with (
            serve(tmp_path / str(len(shared) + len(config.router.tcp_ports)), config) as served,
            await served.admin() as http,
        ):

            async def advised() -> set[str]:
                return SHARED & set((await http.get("/paasd/v1/status")).json()["advice"])

            assert await advised() == set(), "one organization has nobody to be fair to"
            await make_tenant(served, "one", "developer")
            await make_tenant(served, "two", "developer")
            assert await advised() == shared
            limits = {"apps": {"total_memory_in_mb": 8192}}
            assert (await http.patch("/v3/organization_quotas/default", json=limits)).status_code == 200
            assert await advised() == shared - {MEMORY}
            limits = {"routes": {"total_reserved_ports": 5}}
            assert (await http.patch("/v3/organization_quotas/default", json=limits)).status_code == 200
            assert await advised() == shared - {MEMORY, PORTS}
