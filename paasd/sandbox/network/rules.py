"""The nft text of a node: its own table, the guard shared by all nodes of a host, and what one instance adds. Pure.

Everything is closed by default: an interface of ours that no map knows is dropped before connection tracking.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network

from paasd.config import NetworkConfig
from paasd.sandbox.network.egress import NEVER, NOT_PUBLIC, EgressRule, host_names, statements
from paasd.sandbox.network.policies import Policies, caller_chain, caller_door, group_chain

# Interfaces of all nodes of a host start with this, so that no node mistakes another's traffic for a stranger's.
INTERFACES = "pd"
LINK_ADDRESS = "169.254.1.1"
RESOLVER_PORT = 53
HOST_TABLE = "paasd_host"
# What these hold is told by the running daemon, and stays while there is none.
_LASTING_CHAINS = ("resolve", "resolver", "doorway", "doors")
WEB_PORTS = "{ 80, 443 }"
_RESET = "reject with tcp reset"
_REFUSE = "reject with icmpx admin-prohibited"
# UDP's header and 512 bytes: a question has one name, of 255 at most. What is longer fills the resolver's queue.
_LONGEST_LOOKUP_BYTES = 8 + 512
# How long the kernel remembers what no count holds any more, or what is asked once, in seconds. Their own names, as one
# that is there already is never changed. Far ends keep a port for 60 s: another instance must not get it before.
_TIMES = {
    "tcp_inside_10": "protocol tcp; l3proto ip; policy = { time_wait : 10, close : 2 };",
    "tcp_outside_60": "protocol tcp; l3proto ip; policy = { time_wait : 60, close : 10 };",
    "lookup_5": "protocol udp; l3proto ip; policy = { unreplied : 5, replied : 5 };",
}
_INSIDE = 'meta l4proto tcp ct state new ct timeout set "tcp_inside_10"'
_OUTSIDE = 'meta l4proto tcp ct state new ct timeout set "tcp_outside_60"'
_TO_HOST = (_INSIDE, 'meta l4proto udp ct state new ct timeout set "lookup_5"')
_ANSWERS = ("ct state established ct direction reply accept", "ct state related accept")
CHAINS_OF_ONE = {"e": "egress", "d": "lookups", "n": "callers", "m": "callees"}
"""What of the table is one instance's: a chain for each of these maps, named by the letter and the slot."""


def table_name(prefix: str) -> str:
    return f"paasd_{prefix}"


def interface_name(prefix: str, slot: int) -> str:
    return f"{INTERFACES}{prefix}-{slot}"


def _chains(prefix: str, pool: IPv4Network) -> dict[str, list[str]]:
    """The rules of each chain; that of a chain with a hook begins with it."""
    ours, mark = f'"{INTERFACES}{prefix}-*"', f'"{INTERFACES}*"'
    return {
        # Forged sources and anything but IPv4 end here, before they cost an entry in the connection table.
        "raw": [
            "type filter hook prerouting priority raw; policy accept;",
            f"iifname {ours} meta nfproto ipv6 drop",
            "iifname . ip saddr vmap @sources",
            f"iifname {ours} drop",
            f'iifname != {mark} iifname != "lo" ip saddr {pool} drop',
            f'iifname != {mark} iifname != "lo" ip daddr {{ {pool}, {LINK_ADDRESS} }} drop',
        ],
        "resolve": ["type nat hook prerouting priority dstnat; policy accept;"],
        # Calls to other apps: each caller's chain knows the addresses that stand for those it may call.
        "call": ["type nat hook prerouting priority dstnat; policy accept;", "iifname vmap @callers"],
        "doorway": [],
        "doors": [],
        "translate": [
            "type nat hook postrouting priority srcnat; policy accept;",
            f"ip saddr {pool} oifname != {mark} masquerade",
        ],
        "input": [
            "type filter hook input priority filter; policy accept;",
            f"iifname != {ours} accept",
            *_TO_HOST,
            "jump doors",
            # Each packet is counted: one answer would otherwise let a flood through on the same flow.
            "jump resolver",
            *_ANSWERS,
            # A look-up on its way to the port of a daemon that is gone: silence as below, upon which it is repeated.
            "meta l4proto udp ct status dnat drop",
            _REFUSE,
        ],
        "resolver": [],
        "output": [
            "type filter hook output priority filter; policy accept;",
            f"oifname {ours} {_INSIDE}",
            # A look-up while the daemon restarts gets silence, upon which it is repeated, instead of an error.
            f"oifname {ours} icmp type destination-unreachable icmp code port-unreachable drop",
        ],
        "forward": [
            "type filter hook forward priority filter; policy accept;",
            f"iifname {ours} jump leaving",
            f"oifname {ours} ct state established,related accept",
            f"oifname {ours} drop",
        ],
        # Only answers pass unasked: what an instance sends of itself is asked packet by packet, so that a connection
        # does not outlive the rule that allowed it.
        "leaving": [
            _OUTSIDE,
            *_ANSWERS,
            "ct state invalid drop",
            f"ip daddr @never {_REFUSE}",
            f"ip daddr @nodes tcp dport != {WEB_PORTS} {_REFUSE}",
            f"ip daddr @nodes meta l4proto != tcp {_REFUSE}",
            "iifname vmap @egress",
            _REFUSE,
        ],
    }


def node_table(prefix: str, pool: IPv4Network, config: NetworkConfig) -> str:
    """The node's table without instances. Loading it twice changes nothing: chains are flushed and filled again."""
    table, chains = table_name(prefix), _chains(prefix, pool)
    supernet = IPv4Network(config.supernet)
    head = [
        f"add table inet {table}",
        f"add set inet {table} pool {{ type ipv4_addr; flags interval; }}",
        f"add element inet {table} pool {{ {pool} }}",
        f"add set inet {table} private {{ type ipv4_addr; flags interval; }}",
        f"add element inet {table} private {{ {', '.join(NOT_PUBLIC)} }}",
        f"add set inet {table} never {{ type ipv4_addr; flags interval; auto-merge; }}",
        f"add element inet {table} never {{ {', '.join((*NEVER, str(supernet), config.call_range))} }}",
        f"add map inet {table} sources {{ type ifname . ipv4_addr : verdict; }}",
        f"add map inet {table} egress {{ type ifname : verdict; }}",
        f"add map inet {table} lookups {{ type ifname : verdict; }}",
        f"add set inet {table} nodes {{ type ipv4_addr; }}",
        f"add map inet {table} callers {{ type ifname : verdict; }}",
        f"add map inet {table} callees {{ type ifname : verdict; }}",
        *(f"add ct timeout inet {table} {name} {{ {times} }}" for name, times in _TIMES.items()),
    ]
    for name, lines in chains.items():
        hook = f" {{ {lines.pop(0)} }}" if lines and lines[0].startswith("type ") else ""
        head.append(f"add chain inet {table} {name}{hook}")
    # The way to the resolver stays while the daemon restarts, so that a look-up asked again finds the new one.
    head += [f"flush chain inet {table} {name}" for name in chains if name not in _LASTING_CHAINS]
    body = [f"add rule inet {table} {name} {line}" for name, lines in chains.items() for line in lines]
    return "\n".join(head + body) + "\n"


def resolver(prefix: str, port: int) -> str:
    """Send look-ups of instances to the node's own resolver, which cannot have port 53 when a host has two nodes."""
    table, ours = table_name(prefix), f'"{INTERFACES}{prefix}-*"'
    lookups = f"ip daddr {LINK_ADDRESS} meta l4proto {{ tcp, udp }} th dport"
    return (
        f"flush chain inet {table} resolve\nflush chain inet {table} resolver\n"
        f"add rule inet {table} resolve iifname {ours} {lookups} {RESOLVER_PORT} redirect to :{port}\n"
        f"add rule inet {table} resolver {lookups} {port} iifname vmap @lookups\n"
    )


def instance(
    prefix: str,
    slot: int,
    address: str,
    egress: tuple[EgressRule, ...],
    config: NetworkConfig,
    policies: Policies = Policies(),  # noqa: B008 (frozen)
) -> str:
    """Open the way for one instance. Raises Unprocessable for an egress rule that cannot be read.

    What it has of its own never changes, so its connections last; those of its group are asked for each packet.
    """
    table, interface = table_name(prefix), interface_name(prefix, slot)
    lines = [_forget_instance(prefix, slot)]
    for position, name in host_names(egress):
        # The comment is the record from which a restarted daemon knows the name again.
        kind = f'type ipv4_addr; flags timeout; size 4096; comment "{name}";'
        lines.append(f"add set inet {table} {host_set(slot, position)} {{ {kind} }}")
    lines += _bounded(table, f"e{slot}", config.connections_per_s, config.flows_limit, _REFUSE)
    if host_names(egress):
        # What a name was answered with is forgotten after a while, and a connection may last longer.
        lines.append(f"add rule inet {table} e{slot} ct state established accept")
    accepted = [line for i, rule in enumerate(egress) for line in statements(rule, host_set(slot, i))]
    lines += [f"add rule inet {table} e{slot} {line}" for line in accepted]
    lines += _bounded(table, f"m{slot}", config.connections_per_s, config.calls_limit, _RESET)
    lines += _follow(table, slot, policies)
    packets = f"{config.resolver_packets_per_s}/second burst {config.resolver_packets_per_s} packets"
    # Silence first: a refusal is a packet as well, and the host has but so many for everybody.
    lines.append(f"add rule inet {table} d{slot} meta l4proto udp udp length > {_LONGEST_LOOKUP_BYTES} drop")
    lines.append(f"add rule inet {table} d{slot} limit rate over {packets} counter drop")
    lines.append(f"add rule inet {table} d{slot} ct state new ct count over {config.resolver_flows_limit} {_REFUSE}")
    lines.append(f"add rule inet {table} d{slot} accept")
    lines += [
        f'add element inet {table} {map_name} {{ "{interface}" : jump {letter}{slot} }}'
        for letter, map_name in CHAINS_OF_ONE.items()
    ]
    lines.append(f'add element inet {table} sources {{ "{interface}" . {address} : accept }}')
    return "\n".join(lines) + "\n"


def _bounded(table: str, chain: str, per_s: int, held: int, refuse: str) -> list[str]:
    """So many connections held, as many at once, and no more than so many a second: the host remembers closed ones."""
    return [
        f"add rule inet {table} {chain} ct state new limit rate over {per_s}/second burst {held} packets {refuse}",
        f"add rule inet {table} {chain} ct state new ct count over {held} {refuse}",
    ]


def _follow(table: str, slot: int, policies: Policies) -> list[str]:
    """Tie an instance to shared rules, made empty where nobody has said yet what they hold."""
    shared = {}
    if policies.group:
        shared["e"] = group_chain(policies.group)
    if policies.caller:
        shared["n"], shared["m"] = caller_chain(policies.caller), caller_door(policies.caller)
    made = [f"add chain inet {table} {chain}" for chain in shared.values()]
    return made + [f"add rule inet {table} {letter}{slot} jump {chain}" for letter, chain in shared.items()]


def remove_instance(prefix: str, slot: int, address: str | None, host_sets: Iterable[str]) -> str:
    """Close it again; works whether all, some or nothing of it exists (add, then delete, in one transaction)."""
    table, interface = table_name(prefix), interface_name(prefix, slot)
    lines = [_forget_instance(prefix, slot)]
    if address is not None:
        entry = f'"{interface}" . {address}'
        lines.append(f"add element inet {table} sources {{ {entry} : accept }}")
        lines.append(f"delete element inet {table} sources {{ {entry} }}")
    lines += [f"delete chain inet {table} {letter}{slot}" for letter in CHAINS_OF_ONE]
    lines += [f"delete set inet {table} {name}" for name in host_sets]
    return "\n".join(lines) + "\n"


def _forget_instance(prefix: str, slot: int) -> str:
    table, interface = table_name(prefix), interface_name(prefix, slot)
    lines = []
    for letter, map_name in CHAINS_OF_ONE.items():
        chain = f"{letter}{slot}"
        lines += [
            f"add chain inet {table} {chain}",
            f'add element inet {table} {map_name} {{ "{interface}" : jump {chain} }}',
            f'delete element inet {table} {map_name} {{ "{interface}" }}',
            f"flush chain inet {table} {chain}",
        ]
    return "\n".join(lines)


def host_set(slot: int, position: int) -> str:
    return f"h{slot}_{position}"


def learn(prefix: str, name: str, addresses: Iterable[str], lifetime_s: int) -> str:
    """Open the addresses that a host name was answered with; a name asked again lives on."""
    table, listed = table_name(prefix), list(addresses)
    fresh = ", ".join(f"{address} timeout {lifetime_s}s" for address in listed)
    known = ", ".join(listed)
    # Adding an element that exists keeps its old timeout, so it is taken out first (and added, lest it is not in).
    return (
        f"add element inet {table} {name} {{ {known} }}\n"
        f"delete element inet {table} {name} {{ {known} }}\n"
        f"add element inet {table} {name} {{ {fresh} }}\n"
    )


def host_guard(uplinks: Iterable[str]) -> str:
    """Rules that keep the host from routing for strangers over the uplinks on which we switched forwarding on."""
    named = ", ".join(f'"{name}"' for name in uplinks)
    return (
        f"add table inet {HOST_TABLE}\n"
        f"add set inet {HOST_TABLE} forwarding {{ type ifname; }}\n"
        f"add element inet {HOST_TABLE} forwarding {{ {named} }}\n"
        f"add chain inet {HOST_TABLE} forward {{ type filter hook forward priority filter; policy accept; }}\n"
        f"flush chain inet {HOST_TABLE} forward\n"
        f'add rule inet {HOST_TABLE} forward iifname @forwarding oifname != "{INTERFACES}*" drop\n'
    )
