"""Security groups: what instances and builds of spaces may reach outside the platform."""

from typing import Any, Final

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.jobs import open_job
from paasd.model.records import Job, SecurityGroup, SecurityGroupSpace, Space
from paasd.model.records.network import Phase
from paasd.model.rules_told import fits, listed, summed_up
from paasd.model.security_rules import check_rules
from paasd.state import Duplicate, Eq, In, InSelect, Or, ReadTx, Tx, operation

NAME_LIMIT: Final = 250
LISTED_RULES: Final = 20  # in an audit event, before and after
SPACES_LIMIT: Final = 500  # of one call


def taken_text(name: str) -> str:
    """How Cloud Foundry says that a group exists; its command line looks for these words."""
    return f"Security group with name '{name}' already exists."


class CreateSecurityGroup(Arguments):
    """Arguments of `create_security_group`."""

    name: str
    rules: list[dict[str, Any]] = []
    running_default: bool = False
    staging_default: bool = False
    running_spaces: list[str] = []
    staging_spaces: list[str] = []
    actor: Actor


@operation("security_group.create", version=1)
def create_security_group(tx: Tx, args: CreateSecurityGroup) -> SecurityGroup:
    """Raises Unprocessable for rules that cannot be read, a taken name, or spaces that do not exist."""
    _check(args.name, args.rules)
    try:
        group = tx.insert(
            SecurityGroup(
                name=args.name,
                rules=args.rules,
                running_default=args.running_default,
                staging_default=args.staging_default,
            )
        )
    except Duplicate as error:
        raise Unprocessable(taken_text(args.name)) from error
    _event(tx, "audit.security_group.create", args.actor, group, {"request": _shown(group)})
    phases: tuple[tuple[Phase, list[str]], ...] = (("running", args.running_spaces), ("staging", args.staging_spaces))
    for phase, spaces in phases:
        _bind(tx, group, phase, spaces, args.actor, missing_text)
    return group


class UpdateSecurityGroup(Arguments):
    """Arguments of `update_security_group`; None leaves a field as it is."""

    security_group_guid: str
    name: str | None = None
    rules: list[dict[str, Any]] | None = None
    running_default: bool | None = None
    staging_default: bool | None = None
    actor: Actor


@operation("security_group.update", version=1)
def update_security_group(tx: Tx, args: UpdateSecurityGroup) -> SecurityGroup:
    """Raises NotFound, Unprocessable."""
    group = tx.need(SecurityGroup, args.security_group_guid)
    fields = ("name", "rules", "running_default", "staging_default")
    changes = {field: value for field in fields if (value := getattr(args, field)) is not None}
    _check(changes.get("name", group.name), changes.get("rules", []))
    former = group
    try:
        group = tx.update(group, **changes)
    except Duplicate as error:
        raise Unprocessable(taken_text(str(args.name))) from error
    _event(tx, "audit.security_group.update", args.actor, group, {"changed": _changed(former, group)})
    return group


def _check(name: str, rules: list[dict[str, Any]]) -> None:
    if not name.strip():
        raise Unprocessable("Name can't be blank")
    if len(name) > NAME_LIMIT:
        raise Unprocessable(f"Name is too long (maximum is {NAME_LIMIT} characters)")
    if not name.isprintable():
        raise Unprocessable("Security group name contains invalid characters.")
    if wrong := check_rules(rules):
        raise Unprocessable(", ".join(wrong))


class DeleteSecurityGroup(Arguments):
    """Arguments of `delete_security_group`."""

    security_group_guid: str
    actor: Actor


@operation("security_group.delete", version=1)
def delete_security_group(tx: Tx, args: DeleteSecurityGroup) -> Job:
    """The group and its bindings; the job is complete when this returns. Raises NotFound."""
    group = tx.need(SecurityGroup, args.security_group_guid)
    tx.delete_all(SecurityGroupSpace, security_group_guid=group.guid)
    tx.delete(group)
    _event(tx, "audit.security_group.delete", args.actor, group, {"was": _shown(group)})
    return open_job(
        tx,
        "security_group.delete",
        resource_type="security_group",
        resource_guid=group.guid,
        state="COMPLETE",
        by=args.actor,
    )


class BindSecurityGroup(Arguments):
    """Arguments of `bind_security_group`: `phase` is running or staging."""

    security_group_guid: str
    phase: Phase
    space_guids: list[str]
    actor: Actor


@operation("security_group.bind", version=1)
def bind_security_group(tx: Tx, args: BindSecurityGroup) -> None:
    """Let the group count for these spaces; nothing changes for those where it does. Raises NotFound, Unprocessable."""
    group = tx.need(SecurityGroup, args.security_group_guid)
    _bind(tx, group, args.phase, args.space_guids, args.actor, inaccessible_text)


def _bind(tx: Tx, group: SecurityGroup, phase: Phase, spaces: list[str], actor: Actor, missing: Any) -> None:
    wanted = list(dict.fromkeys(spaces))
    if len(wanted) > SPACES_LIMIT:
        raise Unprocessable(f"A security group can be bound to at most {SPACES_LIMIT} spaces in one call.")
    found = {space.guid: space for space in tx.all(Space, In("guid", wanted), deleting=False)}
    if unknown := [guid for guid in wanted if guid not in found]:
        raise Unprocessable(missing(unknown))
    for guid in wanted:
        if tx.get(SecurityGroupSpace, group.guid, guid, phase) is None:
            tx.insert(SecurityGroupSpace(security_group_guid=group.guid, space_guid=guid, phase=phase))
            _event(tx, "audit.security_group.bind", actor, group, {"phase": phase}, found[guid])


class UnbindSecurityGroup(Arguments):
    """Arguments of `unbind_security_group`."""

    security_group_guid: str
    phase: Phase
    space_guid: str
    actor: Actor


@operation("security_group.unbind", version=1)
def unbind_security_group(tx: Tx, args: UnbindSecurityGroup) -> None:
    """Raises NotFound for the group, Unprocessable for a space to which it is not bound."""
    group = tx.need(SecurityGroup, args.security_group_guid)
    binding = tx.get(SecurityGroupSpace, group.guid, args.space_guid, args.phase)
    space = tx.get(Space, args.space_guid)
    if binding is None or space is None:
        raise Unprocessable(unbound_text(args.space_guid))
    tx.delete(binding)
    _event(tx, "audit.security_group.unbind", args.actor, group, {"phase": args.phase}, space)


def unbound_text(space_guid: str) -> str:
    return (
        f"Unable to unbind security group from space with guid '{space_guid}'. Ensure the space is bound to this "
        "security group."
    )


def missing_text(guids: list[str]) -> str:
    return f"Spaces with guids {_listed(guids)} do not exist."


def inaccessible_text(guids: list[str]) -> str:
    return f"Spaces with guids {_listed(guids)} do not exist, or you do not have access to them."


def _listed(guids: list[str]) -> str:
    return "[" + ", ".join(f'"{guid}"' for guid in guids) + "]"


def counting_for(phase: Phase, space_guid: str) -> Or:
    """The groups that count for a space: those for every space, and those bound to it."""
    default = "running_default" if phase == "running" else "staging_default"
    bound = InSelect(
        "guid", SecurityGroupSpace, "security_group_guid", Eq("space_guid", space_guid), Eq("phase", phase)
    )
    return Or(Eq(default, True), bound)


def effective_rules(tx: ReadTx, phase: Phase, space_guid: str) -> list[dict[str, Any]]:
    """All that is allowed in a space; what several groups say adds up."""
    groups = tx.all(SecurityGroup, counting_for(phase, space_guid), order=("created_at",))
    return [rule for group in groups for rule in group.rules]


def group_name(phase: Phase, space_guid: str) -> str:
    """How the kernel's rules of a space are called; `space_of` reads it."""
    return f"{phase[0]}.{space_guid}"


def space_of(name: str) -> tuple[Phase, str] | None:
    """Phase and space of a name that `group_name` made, else None."""
    letter, _, space_guid = name.partition(".")
    phases: dict[str, Phase] = {"r": "running", "s": "staging"}
    return (phases[letter], space_guid) if letter in phases and space_guid else None


def _shown(group: SecurityGroup) -> dict[str, Any]:
    """What an event tells of a group."""
    return {
        "name": group.name,
        "rules": listed(group.rules),
        **({} if fits(group.rules) else {"summed_up": summed_up(group.rules)}),
        "globally_enabled": {"running": group.running_default, "staging": group.staging_default},
    }


def _changed(former: SecurityGroup, group: SecurityGroup) -> dict[str, Any]:
    """Before and after of what differs; of long lists of rules which came and which went, the widest ones first."""
    before, after = _shown(former), _shown(group)
    keys = [key for key in ("name", "rules", "globally_enabled") if before[key] != after[key]]
    changed = {key: {"before": before[key], "after": after[key]} for key in keys}
    if former.rules != group.rules and (_long(former.rules) or _long(group.rules)):
        changed["rules"] = {
            "before": summed_up(former.rules),
            "after": summed_up(group.rules),
            "removed": listed([rule for rule in former.rules if rule not in group.rules]),
            "added": listed([rule for rule in group.rules if rule not in former.rules]),
        }
    return changed


def _long(rules: list[dict[str, Any]]) -> bool:
    return len(rules) > LISTED_RULES or not fits(rules)


def _event(
    tx: Tx,
    event_type: str,
    actor: Actor,
    group: SecurityGroup,
    data: dict[str, Any] | None = None,
    space: Space | None = None,
) -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="security_group",
        target_guid=group.guid,
        target_name=group.name,
        space_guid=None if space is None else space.guid,
        organization_guid=None if space is None else space.organization_guid,
        data=data,
    )
