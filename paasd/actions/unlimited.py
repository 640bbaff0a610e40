"""What several organizations share here without a limit; in sentences that say how to set one."""

from paasd.config import Config
from paasd.model import Organization, OrganizationQuota
from paasd.state import ReadTx

BANDWIDTH = (
    "one instance may take the bandwidth of its whole node from the others: set [network] upload_mbit and "
    "download_mbit, to 200 for example, on all nodes"
)
WRITES = (
    "one instance may keep the disk of its node busy: set [sandbox] disk_write_bytes_per_s, where cgroup v2 is, to "
    "50000000 for example, on all nodes"
)
MEMORY = (
    "some organizations have a quota without limit of memory, so one may take that of all nodes: "
    "`cf update-org-quota default -m 8G` limits new ones, `cf orgs` and `cf set-quota` the others (docs/quotas.md)"
)
PORTS = (
    "some organizations have a quota without limit of reserved ports, so one may take all of [router] tcp_ports: "
    "`cf update-org-quota default --reserved-route-ports 5` limits new ones (docs/quotas.md)"
)


def unlimited(tx: ReadTx, config: Config) -> list[str]:
    """Nothing where there is one organization: it has nobody to be fair to."""
    organizations = tx.all(Organization, deleting=False)
    if len(organizations) < 2:
        return []
    quotas = tx.all(OrganizationQuota)
    limited = {quota.guid for quota in quotas if quota.limits.total_memory_in_mb is not None}
    few_ports = {quota.guid for quota in quotas if quota.limits.total_reserved_ports is not None}
    network = config.network
    found = {
        MEMORY: any(one.quota_guid not in limited for one in organizations),
        BANDWIDTH: not (network.upload_mbit and network.download_mbit),
        WRITES: not config.sandbox.disk_write_bytes_per_s,
        PORTS: bool(config.router.tcp_ports) and any(one.quota_guid not in few_ports for one in organizations),
    }
    return [sentence for sentence, true in found.items() if true]
