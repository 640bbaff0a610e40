"""Comparing everything with one node: each says how much it holds, and gives the other what it lacks. Pure.

It closes the gaps that lost datagrams leave, brings a newcomer up to date, and carries usage samples, which are not
worth a datagram each.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from paasd.gossip.wire.messages import AnyUpdate
from paasd.observed import Batch, Holding, Observed, Usage

CHANGES_LIMIT: Final = 16_000
"""Records in one answer, about 5 MB; what is left out comes with the next comparison."""


class Question(msgspec.Struct, frozen=True, array_like=True):
    """What I hold, and what I think of the members."""

    holdings: tuple[Holding, ...]
    news: tuple[AnyUpdate, ...]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What you lack, and what I hold. With no `holdings` nothing is wanted back."""

    batches: tuple[Batch, ...]
    holdings: tuple[Holding, ...] = ()
    news: tuple[AnyUpdate, ...] = ()


class Usages(msgspec.Struct, frozen=True, array_like=True):
    """The newest samples of some instances of the node that answers."""

    owner: str
    boot: int
    samples: dict[str, Usage]


def ask(observed: Observed, news: tuple[AnyUpdate, ...]) -> Question:
    return Question(observed.holdings(), news)


def answer(observed: Observed, news: tuple[AnyUpdate, ...], question: Question) -> Answer:
    """What the asker lacks, and what we hold so that it can do the same."""
    observed.hear_of(question.holdings)
    return Answer(_limited(observed.missing(question.holdings)), observed.holdings(), news)


def take_answer(observed: Observed, reply: Answer) -> Answer:
    """Take what came, and give back what the other lacks."""
    observed.absorb(reply.batches)
    observed.hear_of(reply.holdings)
    return Answer(_limited(observed.missing(reply.holdings)) if reply.holdings else ())


def samples_of(observed: Observed, app_guid: str) -> Usages:
    """This node's own samples of an app's instances."""
    own = observed.own
    facts = observed.instances(app_guid)
    found = {one.instance_guid: one.usage for one in facts if one.node_guid == own.owner and one.usage is not None}
    return Usages(own.owner, own.boot, found)


def take_samples(observed: Observed, usages: Usages) -> None:
    holding = observed.holding(usages.owner)
    if holding is not None and holding.boot == usages.boot:
        batch = Batch(usages.owner, usages.boot, holding.complete, holding.complete, (), usages.samples)
        observed.absorb([batch])


def _limited(batches: Iterable[Batch]) -> tuple[Batch, ...]:
    taken: list[Batch] = []
    room = CHANGES_LIMIT
    for batch in sorted(batches, key=lambda batch: len(batch.changes)):
        room -= len(batch.changes)
        if room < 0 and taken:
            break
        taken.append(batch)
    return tuple(taken)
