"""Metadata services of clouds are closed whatever a rule says, also where their address looks like a public one."""

from ipaddress import ip_address, ip_network

import pytest

from paasd.sandbox.network.egress import NEVER


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # Amazon, Google, Azure, OpenStack, DigitalOcean, Hetzner
        "169.254.170.2",  # Amazon, credentials of a container
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's wire server: configuration and certificates of the machine
    ],
)
def test_no_rule_opens_the_metadata_service_of_a_cloud(address: str) -> None:
    assert any(ip_address(address) in ip_network(closed) for closed in NEVER)
