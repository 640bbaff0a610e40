"""What a resolver of a test needs from others, and how it is asked."""

from collections.abc import Iterable

import dns.asyncquery
import dns.message

from paasd.config import DnsConfig, NetworkConfig
from paasd.dns import Resolver, open_resolver


class World:
    """What the resolver is told by others, and what it tells them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.instances = {"127.0.0.1"}
        self.holders: dict[str, str] = {}
        self.packets_per_s = NetworkConfig().resolver_packets_per_s
        self.learned: list[tuple[str, str, set[str], float]] = []

    def lookup(self, client: str, name: str) -> Iterable[str] | None:
        return {"shop.apps.internal": ("10.254.0.9",)}.get(name)

    async def learn(self, client: str, name: str, addresses: set[str], lifetime_s: float) -> None:
        self.learned.append((client, name, addresses, lifetime_s))

    def open(self, config: DnsConfig):
        return open_resolver(
            config,
            lookup=self.lookup,
            is_instance=self.instances.__contains__,
            holder_of=lambda address: self.holders.get(address, ""),
            learn=self.learn,
            clock=lambda: self.now,
            packets_per_s=self.packets_per_s,
            address="127.0.0.1",
        )


async def ask(resolver: Resolver, name: str, kind: str = "A", *, tcp: bool = False, payload: int = 1232):
    query = dns.message.make_query(name, kind, use_edns=0, payload=payload)
    how = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    return await how(query, "127.0.0.1", port=resolver.port, timeout=2)


def texts(answer: dns.message.Message) -> set[str]:
    return {rdata.to_text() for rrset in answer.answer for rdata in rrset}
