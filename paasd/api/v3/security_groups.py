"""`/v3/security_groups`, and those that count for a space."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from paasd.actions import security_groups
from paasd.actions.visibility import need_visible, visible
from paasd.api.answers import Answer, LinkedMany, Links, Page, Reference, RelatedMany, Shown
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import Guid, Name, ToMany
from paasd.api.listing import (
    Filter,
    Listing,
    View,
    column,
    flag,
    found_reply,
    list_reply,
    need_row,
    reply_of,
)
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.words import RuleProtocol
from paasd.errors import Unprocessable
from paasd.model import SecurityGroup, SecurityGroupSpace, Space
from paasd.model.records.network import Phase
from paasd.model.security_groups import counting_for
from paasd.model.security_rules import check_globally_enabled, check_rules
from paasd.state import Condition, Eq, In, InSelect, ReadTx


class RuleShown(Answer):
    """Where connections may go. What does not count for the protocol is as it was sent."""

    protocol: RuleProtocol
    destination: str
    ports: Any = UNSET
    type: Any = UNSET
    code: Any = UNSET
    description: str | UnsetType | None = UNSET
    log: bool | UnsetType | None = UNSET


class GloballyEnabled(Answer):
    """Whether it counts in every space."""

    running: bool
    staging: bool


class SecurityGroupRelations(Answer):
    """For which spaces it counts, of those that the caller sees."""

    running_spaces: RelatedMany
    staging_spaces: RelatedMany


class SecurityGroupShown(Shown):
    """A security group."""

    name: str
    globally_enabled: GloballyEnabled
    rules: list[RuleShown]
    relationships: SecurityGroupRelations
    links: Links


def present_groups(view: View, rows: Sequence[SecurityGroup]) -> list[SecurityGroupShown]:
    """Groups with those of their spaces that the caller can see."""
    bound = _spaces_of(view, [row.guid for row in rows])
    return [
        SecurityGroupShown(
            guid=row.guid,
            created_at=row.created_at,
            updated_at=row.updated_at,
            name=row.name,
            globally_enabled=GloballyEnabled(running=row.running_default, staging=row.staging_default),
            rules=msgspec.convert(row.rules, list[RuleShown]),
            relationships=SecurityGroupRelations(
                running_spaces=RelatedMany(data=bound.get((row.guid, "running"), [])),
                staging_spaces=RelatedMany(data=bound.get((row.guid, "staging"), [])),
            ),
            links={"self": view.urls.link("security_groups", row.guid)},
        )
        for row in rows
    ]


def _in_seen_spaces(view: View) -> Condition:
    """That a group counts for a space is told to nobody but who sees the space."""
    return InSelect("space_guid", Space, "guid", *visible(view.tx, view.caller, Space))


def _spaces_of(view: View, guids: Sequence[str]) -> dict[tuple[str, str], list[Reference]]:
    found: dict[tuple[str, str], list[Reference]] = {}
    for row in view.tx.all(SecurityGroupSpace, In("security_group_guid", guids), _in_seen_spaces(view)):
        found.setdefault((row.security_group_guid, row.phase), []).append(Reference(guid=row.space_guid))
    return found


def _by_space(phase: Phase) -> Filter:
    def bound(view: View, values: tuple[str, ...]) -> Condition:
        rows = (In("space_guid", values), _in_seen_spaces(view), Eq("phase", phase))
        return InSelect("guid", SecurityGroupSpace, "security_group_guid", *rows)

    return bound


LISTED = Listing(
    record=SecurityGroup,
    present=present_groups,
    filters={
        "names": column("name"),
        "running_space_guids": _by_space("running"),
        "staging_space_guids": _by_space("staging"),
        "globally_enabled_running": flag("running_default", "globally_enabled_running"),
        "globally_enabled_staging": flag("staging_default", "globally_enabled_staging"),
    },
    labels=False,
)
OF_SPACE = Listing(record=SecurityGroup, present=present_groups, filters={"names": column("name")}, labels=False)


class GroupRelationships(Form):
    """For which spaces it counts from the start."""

    running_spaces: ToMany | None = None
    staging_spaces: ToMany | None = None


class NewGroup(Form):
    """Body of `POST /v3/security_groups`."""

    name: Name
    rules: Any = None
    globally_enabled: Any = None
    relationships: GroupRelationships | None = None


class GroupChanges(Form):
    """Body of `PATCH /v3/security_groups/:guid`."""

    name: Name | None = None
    rules: Any = None
    globally_enabled: Any = None


class Spaces(Form):
    """Body of `POST /v3/security_groups/:guid/relationships/running_spaces`."""

    data: list[Guid]


def _checked(form: NewGroup | GroupChanges) -> dict[str, Any]:
    """What the body says of rules and of where they count. Raises Unprocessable naming everything that is wrong."""
    wrong = [*([] if form.rules is None else check_rules(form.rules)), *check_globally_enabled(form.globally_enabled)]
    if wrong:
        raise Unprocessable(", ".join(wrong))
    enabled = form.globally_enabled or {}
    found = {f"{phase}_default": enabled[phase] for phase in ("running", "staging") if phase in enabled}
    return found if form.rules is None else {**found, "rules": form.rules}


async def list_groups(call: Call) -> Reply[Page[SecurityGroupShown]]:
    """Those that count for all spaces, and those of the caller's."""
    return await list_reply(call, LISTED)


async def get_group(call: Call) -> Reply[SecurityGroupShown]:
    """One."""
    return found_reply(call, LISTED)


async def create_group(call: Call) -> Reply[SecurityGroupShown]:
    """201."""
    form = await call.json(NewGroup)
    relations = form.relationships or GroupRelationships()
    row = await security_groups.create(
        call.context,
        call.caller,
        name=form.name,
        running_spaces=_guids(relations.running_spaces),
        staging_spaces=_guids(relations.staging_spaces),
        **{"rules": [], **_checked(form)},
    )
    return reply_of(call, LISTED, row, 201)


def _guids(many: ToMany | None) -> list[str]:
    return [] if many is None else [one.guid for one in many.data]


async def update_group(call: Call) -> Reply[SecurityGroupShown]:
    """Effective at once, also for what runs."""
    form = await call.json(GroupChanges)
    need_row(call, SecurityGroup)
    row = await security_groups.update(call.context, call.caller, call.path["guid"], name=form.name, **_checked(form))
    return reply_of(call, LISTED, row)


async def delete_group(call: Call) -> Reply[None]:
    """202 with a job."""
    return job_reply(call, await security_groups.delete(call.context, call.caller, call.path["guid"]))


async def bind_running(call: Call) -> Reply[LinkedMany]:
    """Let it count for the instances of spaces."""
    return await _bind(call, "running")


async def bind_staging(call: Call) -> Reply[LinkedMany]:
    """Let it count for the builds of spaces."""
    return await _bind(call, "staging")


async def unbind_running(call: Call) -> Reply[None]:
    """204."""
    return await _unbind(call, "running")


async def unbind_staging(call: Call) -> Reply[None]:
    """204."""
    return await _unbind(call, "staging")


async def _bind(call: Call, phase: Phase) -> Reply[LinkedMany]:
    guid = call.path["guid"]
    with call.context.database.read() as tx:
        need_visible(tx, call.caller, SecurityGroup, guid)
    form = await call.json(Spaces)
    await security_groups.bind(call.context, call.caller, guid, phase, [one.guid for one in form.data])
    with call.context.database.read() as tx:
        spaces = _spaces_of(View(tx, call.urls, call.caller, call), [guid]).get((guid, phase), [])
    link = call.urls.link("security_groups", guid, "relationships", f"{phase}_spaces")
    return Reply(body=LinkedMany(data=spaces, links={"self": link}))


async def _unbind(call: Call, phase: Phase) -> Reply[None]:
    await security_groups.unbind(call.context, call.caller, call.path["guid"], phase, call.path["space_guid"])
    return no_content()


async def running_groups(call: Call) -> Reply[Page[SecurityGroupShown]]:
    """What counts for the instances of a space."""
    return await _of_space(call, "running")


async def staging_groups(call: Call) -> Reply[Page[SecurityGroupShown]]:
    """What counts for the builds of a space."""
    return await _of_space(call, "staging")


async def _of_space(call: Call, phase: Phase) -> Reply[Page[SecurityGroupShown]]:
    with call.context.database.read() as tx:
        space = _need_space(tx, call)
    return await list_reply(call, OF_SPACE, counting_for(phase, space.guid))


def _need_space(tx: ReadTx, call: Call) -> Space:
    return need_visible(tx, call.caller, Space, call.path["guid"])


BASE = "/v3/security_groups"
ONE = f"{BASE}/<guid>"
_MANAGERS = "organization_manager or space_manager of each space"
ROUTES: tuple[Route, ...] = (
    get(BASE, list_groups, LISTED.query),
    post(BASE, create_group, permission="admin"),
    get(ONE, get_group),
    patch(ONE, update_group, permission="admin"),
    delete(ONE, delete_group, permission="admin"),
    post(f"{ONE}/relationships/running_spaces", bind_running, permission=_MANAGERS),
    post(f"{ONE}/relationships/staging_spaces", bind_staging, permission=_MANAGERS),
    delete(f"{ONE}/relationships/running_spaces/<space_guid>", unbind_running, permission=_MANAGERS),
    delete(f"{ONE}/relationships/staging_spaces/<space_guid>", unbind_staging, permission=_MANAGERS),
    get("/v3/spaces/<guid>/running_security_groups", running_groups, OF_SPACE.query),
    get("/v3/spaces/<guid>/staging_security_groups", staging_groups, OF_SPACE.query),
)
