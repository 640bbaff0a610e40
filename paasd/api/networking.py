"""`/networking/v1/external/policies`: Cloud Foundry's network policies, with the errors of that API."""

from collections.abc import Awaitable, Sequence
from typing import Annotated

import msgspec

from paasd.actions import network_policies
from paasd.api.answers import Answer, Nothing, Refusal
from paasd.api.call import Call, Form, Reply
from paasd.api.numbers import Number
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get, post
from paasd.api.words import PolicyProtocol, said
from paasd.errors import BadRequest, Forbidden, Unprocessable
from paasd.model import NetworkPolicy
from paasd.model.network_policies import PolicySpec


class Source(Form):
    """The app that connects."""

    id: str = ""


class Ports(Form):
    """Both ends are included."""

    start: Number = 0
    end: Number = 0


class Destination(Form):
    """The app that is connected to."""

    id: str = ""
    protocol: Annotated[str, said("tcp", "")] = ""
    ports: Ports = msgspec.field(default_factory=Ports)


class Policy(Form):
    """One policy."""

    source: Source = msgspec.field(default_factory=Source)
    destination: Destination = msgspec.field(default_factory=Destination)

    def spec(self) -> PolicySpec:
        """As operations take it."""
        return PolicySpec(
            source_guid=self.source.id,
            destination_guid=self.destination.id,
            protocol=self.destination.protocol,
            start_port=self.destination.ports.start,
            end_port=self.destination.ports.end,
        )


class Policies(Form):
    """Body of both changing calls; `total_policies` may come back as it was told."""

    policies: list[Policy] = []
    total_policies: Number | None = None


class SourceShown(Answer):
    """The app that connects."""

    id: str


class PortsShown(Answer):
    """Both ends are included."""

    start: int
    end: int


class TargetShown(Answer):
    """The app that is connected to."""

    id: str
    protocol: PolicyProtocol
    ports: PortsShown


class PolicyShown(Answer):
    """One policy."""

    source: SourceShown
    destination: TargetShown


class PoliciesShown(Answer):
    """All that was asked for."""

    total_policies: int
    policies: list[PolicyShown]


class PolicyRefusal(Refusal):
    """Why a call was refused, in the form of this API."""

    error: str


def present_policies(rows: Sequence[NetworkPolicy]) -> PoliciesShown:
    """The answer that lists policies."""
    shown = [
        PolicyShown(
            source=SourceShown(id=row.source_guid),
            destination=TargetShown(
                id=row.destination_guid,
                protocol=row.protocol,
                ports=PortsShown(start=row.start_port, end=row.end_port),
            ),
        )
        for row in rows
    ]
    return PoliciesShown(total_policies=len(shown), policies=shown)


async def list_policies(call: Call) -> Reply[PoliciesShown]:
    """Between apps of spaces in which the caller develops."""
    values = call.query.values
    rows = network_policies.found(
        call.context, call.caller, ids=values("id"), sources=values("source_id"), destinations=values("dest_id")
    )
    return Reply(body=present_policies(rows))


async def create_policies(call: Call) -> Reply[Nothing] | Reply[PolicyRefusal]:
    """Effective at once, on every node that follows the rows."""
    return await _changed(_add(call))


async def delete_policies(call: Call) -> Reply[Nothing] | Reply[PolicyRefusal]:
    """What is open through them is cut."""
    return await _changed(_remove(call))


async def clean_policies(call: Call) -> Reply[PoliciesShown] | Reply[PolicyRefusal]:
    """Policies of apps that are gone."""
    try:
        return Reply(body=present_policies(await network_policies.clean(call.context, call.caller)))
    except Forbidden as error:
        return _error(403, error.detail)


async def _add(call: Call) -> None:
    await network_policies.add(call.context, call.caller, await _specs(call))


async def _remove(call: Call) -> None:
    await network_policies.remove(call.context, call.caller, await _specs(call))


async def _specs(call: Call) -> list[PolicySpec]:
    return [policy.spec() for policy in (await call.json(Policies)).policies]


async def _changed(change: Awaitable[None]) -> Reply[Nothing] | Reply[PolicyRefusal]:
    try:
        await change
    except Unprocessable as error:
        return _error(400, f"mapper: validate policies: {error.detail}")
    except BadRequest as error:
        return _error(400, f"mapper: unmarshal json: {error.detail}")
    except Forbidden as error:
        return _error(403, error.detail)
    return Reply(body=Nothing())


def _error(status: int, text: str) -> Reply[PolicyRefusal]:
    return Reply(status=status, body=PolicyRefusal(error=text))


BASE = "/networking/v1/external/policies"
# Clients say how they would like pages, of which this list has none.
QUERY = QuerySpec(filters=("id", "source_id", "dest_id"), plain=("page", "results-per-page", "order-direction"))
_DEVELOPERS = "space_developer in the spaces of both apps"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_policies, QUERY),
    post(BASE, create_policies, permission=_DEVELOPERS),
    post(f"{BASE}/delete", delete_policies, permission=_DEVELOPERS),
    post(f"{BASE}/cleanup", clean_policies, permission="admin"),
)
