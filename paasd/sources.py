"""Whom the address of a stranger stands for: what is limited for each is counted by this."""

import ipaddress


def source_of(address: str) -> str:
    """Whom an address stands for. Of IPv6 everybody has a whole network, so that is what counts."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
