"""`paasd recover`: the quorum is lost for good, and this node goes on without the others, its daemon at rest.

It asks them before: as long as they agree among themselves, or one of them has entries that this node lacks, going on
from here would lose what was acknowledged. Then it takes what its own member of etcd may have beyond its database,
gives the log a new identity, so that nobody who holds the former one is ever taken for a voter of this one, and says in
rows who is lost. It may be interrupted and repeated.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Literal

import trio

from paasd.config import Config
from paasd.errors import PaasdError, Unavailable
from paasd.membership import MemberFiles
from paasd.model import Node
from paasd.model.recovery import Recover, Recovered, recover_cluster
from paasd.node.identity import node_guid
from paasd.node.maintenance import daemon_pid
from paasd.node.recovery import QUIET
from paasd.peer import PeerRefused, Peers, PeerUnreachable, open_peers
from paasd.state import LocalLog, LogUnavailable, StateInUse, open_database
from paasd.state.engine import Standing, read_closed, read_standing, stand_alone
from paasd.state.engine.opening import FILE_NAME
from paasd.state.log.etcd import EtcdLog
from paasd.state.log.messages import AskNewest, LogAnswer, ReadLog, decode, encode
from paasd.voting import Seat, open_seat

ASK_S: Final = 5.0
ETCD_S: Final = 20.0

Answer = Literal["silent", "behind", "ahead", "agrees", "other"]
"""Of another node: it did not answer; it has nothing that this one lacks; it has more; the log takes writes there; it
has another log, because somebody has recovered or restored it.
"""

_REFUSALS: Final[Mapping[Answer, str]] = {
    "agrees": (
        "{names} can still write: there is a quorum without this node. Start the daemon here again, and let it follow"
    ),
    "ahead": "{names} has entries that this node lacks: recover there, or switch it off for good if it cannot be saved",
    "other": (
        "{names} has been recovered already and goes on with a log of its own: join it with an empty data directory"
    ),
}

Agreed = Callable[[str], bool]
Say = Callable[[str], None]


def recover_node(config: Config, agreed: Agreed, say: Say) -> Recovered | None:
    """Go on alone with the data directory of the configuration; None when `agreed`, which is told what may be lost,
    says no. Raises PaasdError when that is not the thing to do.
    """
    return trio.run(partial(_recover, config, agreed, say))


async def _recover(config: Config, agreed: Agreed, say: Say) -> Recovered | None:
    directory = Path(config.data)
    standing, nodes = read_rows(directory)
    own = nodes[node_guid(directory)]
    say("asking the other nodes")
    files = MemberFiles(directory)
    addresses = {guid: (node.address, node.peer_port) for guid, node in nodes.items() if node.address}
    async with open_peers(config.peer, own.guid, addresses.get, clock=time.time) as peers:
        peers.identify(files.identity())
        answers = await ask_others(peers, nodes, standing)
    refuse(answers, nodes)
    if not agreed(what_may_be_lost(standing, nodes, own.guid, answers)):
        return None
    return await go_alone(directory, own.guid, [guid for guid, said in answers.items() if said == "silent"], say)


def read_rows(directory: Path) -> tuple[Standing, dict[str, Node]]:
    """Where the database stands, and the nodes that its rows name. Raises PaasdError where nothing is to recover."""
    if daemon_pid(directory) is not None:
        raise StateInUse(directory / FILE_NAME)
    standing = read_standing(directory / FILE_NAME)
    if standing is None:
        raise PaasdError(f"there is no node in {directory}; name its directory with --data")
    with read_closed(directory / FILE_NAME) as tx:
        nodes = {node.guid: node for node in tx.all(Node) if node.state != "REMOVED"}
    own = nodes.get(node_guid(directory))
    if own is None or own.role != "control" or not MemberFiles(directory).exists:
        raise PaasdError(f"{directory} belongs to no control node of a cluster; recover on one that is")
    voters = {guid for guid, node in nodes.items() if node.voting}
    if standing.kind == "local" and voters <= {own.guid}:
        raise PaasdError(
            "this node decides alone already, so there is no quorum to recover; start it, and take lost nodes out with "
            "`paasd node remove NAME --force`"
        )
    return standing, nodes


async def ask_others(peers: Peers, nodes: Mapping[str, Node], standing: Standing) -> dict[str, Answer]:
    """What each of the others says, by guid."""
    answers: dict[str, Answer] = {}

    async def ask(guid: str, control: bool) -> None:
        answers[guid] = "silent"
        with trio.move_on_after(ASK_S):
            try:
                answers[guid] = await _ask(peers, guid, standing, control=control)
            except (PeerUnreachable, PeerRefused, Unavailable):
                return

    async with trio.open_nursery() as nursery:
        for guid, node in nodes.items():
            if guid != peers.guid and node.address:
                nursery.start_soon(ask, guid, node.role == "control")
    return answers


async def _ask(peers: Peers, guid: str, standing: Standing, *, control: bool) -> Answer:
    # A stream brings at once what follows this index, or within a second that there is nothing: without any quorum.
    after = encode(ReadLog(identity=standing.identity, after=standing.index, limit=1))
    async with peers.stream(guid, "log.follow", after) as stream:
        message = await stream.receive()
    first = None if message is None else decode(message, LogAnswer)
    if first is None or first.kind == "other":
        return "silent" if first is None else "other"
    if control:
        newest = await peers.call(guid, "log.newest", encode(AskNewest(identity=standing.identity)), timeout_s=ASK_S)
        if decode(newest, LogAnswer).kind == "newest":
            return "agrees"
    return "behind" if first.kind == "newest" and first.index <= standing.index else "ahead"


def refuse(answers: Mapping[str, Answer], nodes: Mapping[str, Node]) -> None:
    """Raises PaasdError with what to do instead, if some answer forbids to go on from here."""
    for answer, text in _REFUSALS.items():
        names = sorted(nodes[guid].name for guid, said in answers.items() if said == answer)
        if names:
            raise PaasdError(text.format(names=", ".join(names)))


def what_may_be_lost(standing: Standing, nodes: Mapping[str, Node], own: str, answers: Mapping[str, Answer]) -> str:
    """For the person who decides."""
    voters = sorted(node.name for guid, node in nodes.items() if node.voting and guid != own)
    silent = sorted(nodes[guid].name for guid, said in answers.items() if said == "silent")
    return (
        f"{nodes[own].name} has entry {standing.index} of the log and all before it. What came after that, and was "
        "acknowledged by others, is lost.\n"
        f"Not reached: {', '.join(silent) or 'none'}. If they run somewhere out of reach and agree among themselves, "
        "there will be two platforms: make sure that they are off.\n"
        f"These voted and have to join anew: {', '.join(voters) or 'none'}."
    )


async def go_alone(directory: Path, guid: str, lost: list[str], say: Say) -> Recovered:
    """The only voter from now on. `lost` are the nodes that do not answer."""
    standing = read_standing(directory / FILE_NAME)
    assert standing is not None
    async with open_seat(directory / "etcd", guid, outlive=False, clock=time.time) as seat:
        if standing.kind == "etcd":
            say("taking what etcd has here")
            try:
                log = await _own_log(seat, standing.identity)
                if log is not None:
                    async with open_database(directory, QUIET, log=log, start=seat.start_log, node=guid) as database:
                        say(f"entry {database.index} is the newest")
            except (PaasdError, OSError) as error:
                say(f"etcd here gives nothing more ({error}); entry {standing.index} stays the newest")
        await seat.leave()
    stand_alone(directory / FILE_NAME)
    async with open_database(directory, QUIET, log=LocalLog(), node=guid) as database:
        return await database.write(recover_cluster, Recover(node_guid=guid, lost=lost))


async def _own_log(seat: Seat, identity: str) -> EtcdLog | None:
    """As this node's member of etcd has it without the others; None when it has none."""
    log = await seat.alone(identity)
    ends_at = trio.current_time() + ETCD_S
    while log is not None:
        try:
            await log.newest()
            break
        except LogUnavailable:
            if trio.current_time() > ends_at:
                raise
            await trio.sleep(0.1)
    return log
