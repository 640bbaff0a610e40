"""The mass-failure brake: when too much fails at once, the likelier cause is what looks on, and nothing is replaced.

It is a setting, so that every node knows it and operations can heed it.
"""

import msgspec

from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.events import record_event
from paasd.model.records import Node, Setting
from paasd.model.settings import read_setting, set_setting
from paasd.state import In, ReadTx, Tx, operation

BRAKE = "brake"


class Brake(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes` are those whose loss engaged it; `accepted` those of which an operator said that they are really lost."""

    engaged: bool = False
    nodes: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    reason: str = ""
    since: str = ""


def read_brake(tx: ReadTx) -> Brake:
    """Not engaged when it never was."""
    found = read_setting(tx, BRAKE)
    return msgspec.json.decode(found, type=Brake) if found else Brake()


class EngageBrake(Arguments):
    """Arguments of `engage_brake`."""

    nodes: list[str]
    reason: str


@operation("brake.engage", version=1)
def engage_brake(tx: Tx, args: EngageBrake) -> bool:
    """Stop declaring nodes dead, replacing what they ran, and draining. False when it is engaged already."""
    if read_brake(tx).engaged:
        return False
    brake = Brake(engaged=True, nodes=tuple(sorted(args.nodes)), reason=args.reason, since=tx.now)
    _write(tx, brake)
    _audit(tx, "platform.brake.engage", SYSTEM, {"nodes": sorted(args.nodes), "reason": args.reason})
    return True


class ReleaseBrake(Arguments):
    """Arguments of `release_brake`. An operator who releases it says by that: those nodes are lost, go on."""

    by_operator: bool = False
    actor: Actor = SYSTEM


@operation("brake.release", version=1)
def release_brake(tx: Tx, args: ReleaseBrake) -> bool:
    """False when it is not engaged."""
    brake = read_brake(tx)
    if not brake.engaged:
        return False
    _write(tx, Brake(accepted=brake.nodes if args.by_operator else ()))
    _audit(tx, "platform.brake.release", args.actor, {"nodes": list(brake.nodes), "by_operator": args.by_operator})
    return True


def accept_nodes(tx: Tx, nodes: list[str]) -> None:
    """Somebody answers for it that exactly these are lost: the brake is off, and their loss does not engage it."""
    _write(tx, Brake(accepted=tuple(sorted(nodes))))


class AcceptLosses(Arguments):
    """Arguments of `accept_losses`: those of the accepted nodes that are still away."""

    nodes: list[str]


@operation("brake.accept_losses", version=1)
def accept_losses(tx: Tx, args: AcceptLosses) -> bool:
    """Take the word back for those that returned: their next loss counts again. False when there is nothing to take."""
    brake = read_brake(tx)
    left = tuple(node for node in brake.accepted if node in args.nodes)
    if brake.engaged or left == brake.accepted:
        return False
    _write(tx, Brake(accepted=left))
    returned = [node for node in brake.accepted if node not in left]
    _audit(tx, "platform.brake.returned", SYSTEM, {"nodes": returned})
    return True


def brake_finding(tx: ReadTx) -> str | None:
    """What `paasd status` says about an engaged brake; None when it is not engaged."""
    brake = read_brake(tx)
    if not brake.engaged:
        return None
    names = ", ".join(node.name for node in tx.all(Node, In("guid", brake.nodes), order=("name",)))
    return (
        f"the mass-failure brake is on since {brake.since}: {brake.reason} ({names}); nothing of theirs is replaced "
        "and no node is drained until they are back. If they are really lost, `paasd node release-brake` goes on"
    )


def _write(tx: Tx, brake: Brake) -> None:
    value = msgspec.json.encode(brake).decode()
    known = tx.get(Setting, BRAKE)
    if known is None or known.value != value:
        set_setting(tx, BRAKE, value)


def _audit(tx: Tx, event: str, actor: Actor, data: dict[str, object]) -> None:
    record_event(tx, event, actor, target_type="platform", target_guid=BRAKE, target_name=BRAKE, data=data)
