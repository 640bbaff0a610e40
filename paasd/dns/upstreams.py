"""Asking the configured name servers: UDP first, TCP when the answer was cut, the next one after a time-out.

All are asked twice at most. One packet lost on the way would otherwise fail the look-up: many a client that was told
SERVFAIL does not ask again, as it would after silence.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.inet
import dns.message
import trio

from paasd.dns.places import Places
from paasd.errors import ConfigError

Server = tuple[str, int]
_FIRST_ROUND = 0.25
"""Of the time-out: a server that has not answered by then mostly never got the question."""


class NoUpstream(Exception):
    """None of the name servers answered."""


def parse_servers(texts: Sequence[str], resolv_conf: Path = Path("/etc/resolv.conf")) -> tuple[Server, ...]:
    """Servers of the configuration, or those of the host when it names none. Raises ConfigError."""
    listed = list(texts)
    if not listed:
        try:
            lines = resolv_conf.read_text().splitlines()
        except OSError:
            lines = []
        listed = [words[1] for line in lines if len(words := line.split()) >= 2 and words[0] == "nameserver"]
    return tuple(_parse(text) for text in listed)


def _parse(text: str) -> Server:
    address, port = text, "53"
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or "53"
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    if not dns.inet.is_address(address.partition("%")[0]) or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"[dns] upstreams: {text!r} is not an address or address:port; put IPv6 in [brackets]")
    return address, int(port)


class Upstreams:
    """Asks one server after the other; a question in flight takes one of `places`.

    Who asks for names whose servers never answer would otherwise have all of them.
    """

    def __init__(self, servers: Sequence[Server], *, timeout_s: float, places: Places) -> None:
        self._servers = tuple(servers)
        self._timeout_s = timeout_s
        self._places = places

    async def ask(self, query: dns.message.Message, client: str) -> dns.message.Message:
        """The first answer. Raises NoUpstream when nobody answers in time, or too many questions wait."""
        with self._places.place(client) as free:
            if not free:
                raise NoUpstream("too many look-ups are waiting")
            return await self._ask(query)

    async def _ask(self, query: dns.message.Message) -> dns.message.Message:
        # A fresh question with an id and options of our own: nothing of a tenant's packet is passed on but the name.
        question = query.question[0]
        ours = dns.message.make_query(question.name, question.rdtype, question.rdclass, use_edns=0, payload=1232)
        rounds = itertools.product((_FIRST_ROUND, 1 - _FIRST_ROUND), self._servers)
        for part, (address, port) in rounds:
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    ours, address, timeout=self._timeout_s * part, port=port, ignore_unexpected=True
                )
            except (dns.exception.DNSException, ValueError, OSError, EOFError, trio.BrokenResourceError):
                continue  # trio's own error is a reset, as servers with too many connections send it
            return answer
        raise NoUpstream("no name server answered" if self._servers else "no name server is configured")
