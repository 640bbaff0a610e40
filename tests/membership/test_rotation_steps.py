"""Changes of authorities and keys, decided from rows: simulated with nodes that lag, restart and die on the way."""

from datetime import UTC, datetime
from random import Random

import msgspec
import pytest

from paasd import pki
from paasd.membership.rotation.steps import (
    Holding,
    Ready,
    Resting,
    Waiting,
    authority_step,
    gossip_step,
    holdings,
    is_due,
)
from paasd.model import Authority, GossipKey, Node
from paasd.model.rotation import PURPOSES, shows, trusts
from paasd.observed import NodeFact

YEAR_S = 365 * 86400.0
OLD = Authority(guid="old-authority", purpose="nodes", certificate="", sealed_key="", state="SIGNING")
NEW = Authority(guid="new-authority", purpose="nodes", certificate="", sealed_key="", state="TRUSTED")


def member(name: str, *things: str, state: str = "READY") -> Holding:
    return Holding(guid=name, name=name, state=state, things=frozenset(things))


def in_state(row: Authority, state: str) -> Authority:
    return msgspec.structs.replace(row, state=state)


def test_without_a_change_there_is_no_step() -> None:
    assert authority_step([OLD], [member("a")]) is None
    assert authority_step([in_state(OLD, "RETIRED"), in_state(NEW, "SIGNING")], [member("a")]) is None
    assert gossip_step([GossipKey(id="k", sealed="", state="SENDING")], [member("a")]) is None


def test_the_new_authority_signs_when_everybody_believes_it_also_the_dead() -> None:
    ready, late = member("a", trusts(NEW.guid)), member("b", trusts(OLD.guid), state="DEAD")
    assert authority_step([OLD, NEW], [ready, late]) == Waiting(NEW.guid, "TRUSTED", (late,))
    assert authority_step([OLD, NEW], [ready]) == Ready(NEW.guid, "TRUSTED")


def test_the_old_authority_is_retired_when_nobody_shows_it() -> None:
    rows = [in_state(OLD, "FORMER"), in_state(NEW, "SIGNING")]
    ready, late = member("a", shows(NEW.guid)), member("b", shows(OLD.guid), trusts(NEW.guid))
    assert authority_step(rows, [ready, late]) == Waiting(OLD.guid, "FORMER", (late,))
    assert authority_step(rows, [ready]) == Ready(OLD.guid, "FORMER")


def test_a_gossip_key_waits_for_the_living_only() -> None:
    rows = [GossipKey(id="old", sealed="", state="SENDING"), GossipKey(id="new", sealed="", state="KNOWN")]
    has, dead, lacks = member("a", "opens:new"), member("b", state="DEAD"), member("c", "opens:old")
    assert gossip_step(rows, [has, dead]) == Ready("new", "KNOWN")
    assert gossip_step(rows, [has, lacks]) == Waiting("new", "KNOWN", (lacks,))
    rows = [GossipKey(id="old", sealed="", state="FORMER"), GossipKey(id="new", sealed="", state="SENDING")]
    assert gossip_step(rows, [member("a", "seals:new"), member("b", "seals:old")]) == Waiting(
        "old", "FORMER", (member("b", "seals:old"),)
    )
    assert gossip_step(rows, [member("a", "seals:new"), dead]) == Ready("old", "FORMER")


def test_who_has_not_spoken_has_nothing_and_who_was_removed_does_not_count() -> None:
    nodes = [
        Node(guid=name, name=name, zone="z", memory_mb=1, disk_mb=1, cpus=1, state=state, incarnation=1)
        for name, state in (("a", "READY"), ("b", "JOINING"), ("c", "REMOVED"))
    ]
    fact = NodeFact(node_guid="a", boot=1, keys=("k",), sending_key="k", holds=("trusts:x",))
    found = holdings(nodes, {"a": fact, "c": fact})
    assert [(one.name, one.things) for one in found] == [
        ("a", frozenset({"trusts:x", "opens:k", "seals:k"})),
        ("b", frozenset()),
    ]


class Simulated:
    """A node that applies rows when it feels like it. It believes and shows what the rows said when it last looked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.believes = {OLD.guid}
        self.shown = OLD.guid
        self.up = True
        self.told: frozenset[str] = frozenset()

    def look(self, rows: list[Authority]) -> None:
        self.believes = {row.guid for row in rows if row.state != "RETIRED"} | {self.shown}

    def renew(self, rows: list[Authority]) -> None:
        self.look(rows)
        self.shown = next(row.guid for row in rows if row.state == "SIGNING")

    def tell(self) -> None:
        """What it has is on disk before it says so."""
        self.told = frozenset({*(trusts(one) for one in self.believes), shows(self.shown)})


def simulate(seed: int, *, impatient: bool = False) -> bool:
    """A change of the authority among lagging nodes; whether every two nodes could talk at any time."""
    random = Random(seed)
    rows = [OLD, NEW]
    nodes = [Simulated(f"n{number}") for number in range(random.randint(2, 6))]
    for node in nodes:
        node.tell()
    for _ in range(400):
        node = random.choice(nodes)
        act = random.randrange(6)
        if act == 0:
            node.up = not node.up if random.random() < 0.3 else True
        elif node.up and act == 1:
            node.look(rows)
        elif node.up and act == 2:
            node.renew(rows)
        elif node.up and act == 3:
            node.tell()
        else:
            members = [
                Holding(guid=n.name, name=n.name, state="READY" if n.up else "DEAD", things=n.told) for n in nodes
            ]
            if impatient:
                members = [one for one in members if one.live]
            step = authority_step(rows, members)
            if isinstance(step, Ready):
                rows = advanced(rows, step)
        if any(other.shown not in node.believes for node in nodes for other in nodes):
            return False
    for node in nodes:
        node.up = True
    for _ in range(4):
        for node in nodes:
            node.renew(rows)
            node.tell()
        step = authority_step(rows, [Holding(guid=n.name, name=n.name, state="READY", things=n.told) for n in nodes])
        if isinstance(step, Ready):
            rows = advanced(rows, step)
    assert [row.state for row in rows] == ["RETIRED", "SIGNING"], "it comes to an end"
    return True


def advanced(rows: list[Authority], step: Ready) -> list[Authority]:
    """As the operation does it."""
    changes = {NEW.guid: "SIGNING", OLD.guid: "FORMER"} if step.before == "TRUSTED" else {OLD.guid: "RETIRED"}
    return [in_state(row, changes.get(row.guid, row.state)) for row in rows]


@pytest.mark.parametrize("seed", range(200))
def test_during_a_change_every_two_nodes_can_talk(seed: int) -> None:
    assert simulate(seed)


def test_the_simulation_notices_a_change_that_does_not_wait_for_the_dead() -> None:
    assert not all(simulate(seed, impatient=True) for seed in range(50))


def test_what_etcd_shows_concerns_voters_and_what_clients_see_the_living() -> None:
    voter = Holding(guid="v", name="v", state="DEAD", votes=True)
    other, dead = member("a"), member("b", state="DEAD")
    rows = [msgspec.structs.replace(row, purpose="etcd") for row in (OLD, NEW)]
    assert authority_step(rows, [voter, other, dead]) == Waiting(NEW.guid, "TRUSTED", (voter,))
    assert authority_step(rows, [other, dead]) == Ready(NEW.guid, "TRUSTED")
    rows = [in_state(made("public", 0.0), "FORMER"), in_state(made("public", 9.0), "SIGNING")]
    assert authority_step(rows, [voter, other, dead], YEAR_S * 9) == Waiting("public 0.0", "FORMER", (other,))


def made(purpose: str, at_years: float) -> Authority:
    """An authority, made so many years after the beginning of time."""
    certificate = pki.make_authority(purpose, datetime.fromtimestamp(at_years * YEAR_S, UTC)).certificate.decode()
    return Authority(guid=f"{purpose} {at_years}", purpose=purpose, certificate=certificate, sealed_key="")


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_next_authority_is_due_a_year_before_the_end_and_only_once(purpose: str) -> None:
    old = in_state(made(purpose, 0.0), "SIGNING")
    assert not is_due([old], 8.9 * YEAR_S)
    assert is_due([old], 9.1 * YEAR_S) and is_due([old], 11 * YEAR_S)
    assert not is_due([old, made(purpose, 9.1)], 9.1 * YEAR_S)
    assert not is_due([in_state(old, "FORMER"), in_state(made(purpose, 9.1), "SIGNING")], 9.1 * YEAR_S)
    assert not is_due([in_state(old, "RETIRED")], 9.1 * YEAR_S)


def test_clients_have_half_a_year_to_learn_of_the_next_authority_of_the_domains() -> None:
    rows = [in_state(made("public", 0.0), "SIGNING"), made("public", 9.0)]
    step = authority_step(rows, [member("a")], 9.1 * YEAR_S)
    assert isinstance(step, Resting) and step.until_s == 9.5 * YEAR_S
    assert "ca.pem anew before 30 June 1979" in step.in_words()
    assert authority_step(rows, [member("a")], 9.5 * YEAR_S) == Ready("public 9.0", "TRUSTED")
