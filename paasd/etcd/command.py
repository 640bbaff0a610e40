"""What etcd is told when it starts, and which releases of it paasd trusts its state to. Pure, but for finding it."""

import re
import subprocess
from pathlib import Path
from typing import Final, Literal

import msgspec

from paasd.errors import PaasdError
from paasd.programs import DIRECTORIES, ProgramMissing, find_program

HEARTBEAT_MS: Final = 100
ELECTION_MS: Final = 1000
QUOTA_BYTES: Final = 2 * 1024 * 1024 * 1024
REQUEST_BYTES: Final = 2 * 1024 * 1024
PAIR: Final = "etcd.pem"
"""Key and certificate in one file, so that both are replaced at once."""

AUTHORITIES: Final = "ca.pem"
_BAD: Final = (
    "etcd {found} is none that paasd trusts its state to: known to lose data, or not tried; install 3.4.22 or a "
    "later 3.4, or 3.5.16 or a later 3.5 (Debian's etcd-server)"
)


class MemberSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one member is told. `cluster` maps names (node guids) to peer URLs; `log_id` keeps clusters apart. One that
    is `alone` takes leave of all the others at its start, to give away what it has without them.

    `times_ms` are heartbeat and election; all members should have the same. A `strict` one refuses changes of members
    until all have been connected for five seconds.
    """

    name: str
    log_id: str
    address: str
    listen: str
    client_port: int
    peer_port: int
    cluster: dict[str, str]
    state: Literal["new", "existing"]
    times_ms: tuple[int, int] = (HEARTBEAT_MS, ELECTION_MS)
    strict: bool = True
    alone: bool = False

    @property
    def peer_url(self) -> str:
        """Where other members reach it."""
        return member_url(self.address, self.peer_port)


def member_url(host: str, port: int) -> str:
    """https, with the brackets of IPv6."""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def election_ms(round_trip_s: float) -> tuple[int, int]:
    """(heartbeat, election) for voters whose slowest mean round trip this is, as etcd's guide has it. Pure."""
    heartbeat = max(HEARTBEAT_MS, min(1000, round(round_trip_s * 1000 * 1.5)))
    return heartbeat, max(ELECTION_MS, min(50_000, heartbeat * 10))


def check_version(text: str) -> str:
    """The version in the output of `etcd --version`. Raises PaasdError for one that loses data. Pure."""
    match = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", text)
    if match is None:
        raise PaasdError(f"this etcd does not say its version: {text[:80]!r}; install Debian's etcd-server")
    version = tuple(int(part) for part in match.groups())
    good = (3, 4, 22) <= version < (3, 5, 0) or (3, 5, 16) <= version < (3, 6, 0)
    if not good:
        raise PaasdError(_BAD.format(found=".".join(match.groups())))
    return ".".join(match.groups())


def find_etcd() -> tuple[Path, str]:
    """The binary and its version. Raises PaasdError naming the package."""
    try:
        found = find_program("etcd", (*DIRECTORIES, "/usr/local/bin", "/opt/etcd"))
    except ProgramMissing as error:
        raise PaasdError(f"this node is to vote, and {error.detail}") from error
    return Path(found), check_version(
        subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20).stdout
    )


def arguments(spec: MemberSpec) -> list[str]:
    """etcd's command line, for a start in the member's folder, whose parents etcd's user cannot enter."""
    flags = {
        "name": spec.name,
        "data-dir": "data",
        "listen-client-urls": member_url(spec.listen, spec.client_port),
        "advertise-client-urls": member_url(spec.address, spec.client_port),
        "listen-peer-urls": member_url(spec.listen, spec.peer_port),
        "initial-advertise-peer-urls": spec.peer_url,
        "initial-cluster": ",".join(f"{name}={peer}" for name, peer in sorted(spec.cluster.items())),
        "initial-cluster-state": spec.state,
        "initial-cluster-token": spec.log_id,
        "client-cert-auth": "true",
        "trusted-ca-file": AUTHORITIES,
        "cert-file": PAIR,
        "key-file": PAIR,
        "peer-client-cert-auth": "true",
        "peer-trusted-ca-file": AUTHORITIES,
        "peer-cert-file": PAIR,
        "peer-key-file": PAIR,
        "strict-reconfig-check": "true" if spec.strict else "false",
        "pre-vote": "true",
        "force-new-cluster": "true" if spec.alone else "false",
        "snapshot-count": "10000",
        "max-wals": "2",
        "max-snapshots": "2",
        "enable-grpc-gateway": "false",
        "grpc-keepalive-min-time": "200ms",
        # Only voters have certificates of this authority, and behind address translation no address would be right.
        "experimental-peer-skip-client-san-verification": "true",
        "quota-backend-bytes": str(QUOTA_BYTES),
        "max-request-bytes": str(REQUEST_BYTES),
        "heartbeat-interval": str(spec.times_ms[0]),
        "election-timeout": str(spec.times_ms[1]),
        "logger": "zap",
        "log-level": "warn",
    }
    return [f"--{name}={value}" for name, value in flags.items()]
