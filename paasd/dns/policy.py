"""Which names the resolver answers itself, asks the upstreams for, or refuses; and which answers it passes on. Pure."""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, ip_address

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

INTERNAL = dns.name.from_text("apps.internal.")
_INTERNAL_TTL_S = 5
# Names that only a private network's server can know. A host's server might, so they are not even asked for.
_LOCAL_ZONES = tuple(
    dns.name.from_text(zone)
    for zone in (
        "internal.",
        "local.",
        "lan.",
        "home.",
        "corp.",
        "intranet.",
        "private.",
        "home.arpa.",
        "test.",
        "onion.",
    )
)
_LOOPBACK = dns.name.from_text("localhost.")
_PRIVATE = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
    )
)
_FORWARDED = {
    dns.rdatatype.A,
    dns.rdatatype.AAAA,
    dns.rdatatype.CNAME,
    dns.rdatatype.MX,
    dns.rdatatype.TXT,
    dns.rdatatype.SRV,
    dns.rdatatype.NS,
    dns.rdatatype.SOA,
    dns.rdatatype.CAA,
    dns.rdatatype.HTTPS,
    dns.rdatatype.SVCB,
    dns.rdatatype.PTR,
}

Lookup = Callable[[str, str], Iterable[str] | None]
"""(client address, lower-case name without final dot) -> addresses, or None when there is no such internal name.

Raises NotYet while that is not known.
"""


class NotYet(Exception):
    """No answer is better than a wrong one: who asks will ask again."""


class Policy:
    """`private_zones` lifts the rules about local names and private addresses for the names below those zones."""

    def __init__(self, private_zones: Iterable[str], lookup: Lookup) -> None:
        self._private_zones = tuple(dns.name.from_text(zone) for zone in private_zones)
        self._lookup = lookup

    def decide(self, query: dns.message.Message, client: str) -> dns.message.Message | None:
        """The answer to `query` if it is ours to give (also a refusal); None when an upstream is to be asked."""
        if query.opcode() != 0 or len(query.question) != 1:
            return refuse(query, dns.rcode.NOTIMP)
        question = query.question[0]
        name = question.name
        if question.rdclass != dns.rdataclass.IN:
            return refuse(query, dns.rcode.REFUSED)
        if name.is_subdomain(INTERNAL):
            return self._internal(query, client)
        if name.is_subdomain(_LOOPBACK):
            return _addresses(query, ("127.0.0.1", "::1"))
        if any(name.is_subdomain(zone) for zone in self._private_zones):
            return None
        if len(name.labels) <= 2 or any(name.is_subdomain(zone) for zone in _LOCAL_ZONES) or _is_private_reverse(name):
            return refuse(query, dns.rcode.NXDOMAIN)
        if question.rdtype not in _FORWARDED:
            return refuse(query, dns.rcode.REFUSED)
        return None

    def admit(self, query: dns.message.Message, answer: dns.message.Message) -> dns.message.Message:
        """An upstream's answer without private addresses: a public name must not lead a tenant into our networks."""
        name = query.question[0].name
        # Other classes than Internet mean nothing here, and their records have other fields.
        answer.answer = [rrset for rrset in answer.answer if rrset.rdclass == dns.rdataclass.IN]
        answer.authority = [rrset for rrset in answer.authority if rrset.rdclass == dns.rdataclass.IN]
        if any(name.is_subdomain(zone) for zone in self._private_zones):
            return answer
        for section in (answer.answer, answer.authority):
            section[:] = [kept for rrset in section if (kept := _public_part(rrset)) is not None]
        return answer

    def _internal(self, query: dns.message.Message, client: str) -> dns.message.Message:
        name = query.question[0].name.to_text(omit_final_dot=True).lower()
        found = self._lookup(client, name)
        if found is None:
            return refuse(query, dns.rcode.NXDOMAIN)
        return _addresses(query, found)


def respond(query: dns.message.Message) -> dns.message.Message:
    """An empty answer. It is not padded, whatever the query asks for: padding hides sizes from who sees ciphertext."""
    return dns.message.make_response(query, recursion_available=True, pad=0)


def refuse(query: dns.message.Message, rcode: dns.rcode.Rcode) -> dns.message.Message:
    response = respond(query)
    response.set_rcode(rcode)
    return response


def addresses_of(answer: dns.message.Message) -> tuple[set[str], int]:
    """IPv4 addresses in an answer, and for how many seconds all of them hold."""
    found: set[str] = set()
    lifetimes = []
    for rrset in answer.answer:
        if rrset.rdtype == dns.rdatatype.A:
            found |= {rdata.address for rdata in rrset}
            lifetimes.append(rrset.ttl)
    return found, min(lifetimes, default=0)


def _addresses(query: dns.message.Message, addresses: Iterable[str]) -> dns.message.Message:
    """An answer with those of `addresses` that are of the kind asked for; without any it says that the name exists."""
    response = respond(query)
    response.flags |= dns.flags.AA
    question = query.question[0]
    wanted = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(question.rdtype)
    listed = [text for text in addresses if ip_address(text).version == wanted]
    if listed:
        kind = dns.rdatatype.to_text(question.rdtype)
        response.answer.append(dns.rrset.from_text_list(question.name, _INTERNAL_TTL_S, "IN", kind, listed))
    return response


def _public_part(rrset: dns.rrset.RRset) -> dns.rrset.RRset | None:
    if rrset.rdtype not in (dns.rdatatype.A, dns.rdatatype.AAAA):
        return rrset
    kept = [rdata for rdata in rrset if not _is_private(rdata.address)]
    if len(kept) == len(rrset):
        return rrset
    return dns.rrset.from_rdata_list(rrset.name, rrset.ttl, kept) if kept else None


def _is_private(text: str) -> bool:
    address = ip_address(text)
    if address.version == 6:
        inner = address.ipv4_mapped
        if inner is None:
            return address.is_private or address.is_link_local
        address = inner
    return any(address in network for network in _PRIVATE)


def _is_private_reverse(name: dns.name.Name) -> bool:
    """Reverse names tell who lives in a network; those of private ranges are nobody's business here, nor is IPv6."""
    labels = [label.decode(errors="replace").lower() for label in name.labels[:-1]]
    if labels[-2:] == ["ip6", "arpa"]:
        return True
    if labels[-2:] != ["in-addr", "arpa"]:
        return False
    octets = labels[-3::-1][:4]
    try:
        return _is_private(".".join([*octets, *["0"] * (4 - len(octets))]))
    except ValueError:
        return True
