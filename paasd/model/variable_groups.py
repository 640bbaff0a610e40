"""Environment variable groups: what every app finds in its environment, running or while it is staged."""

from typing import Final, Literal

from paasd.errors import NotFound
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.records import App, VariableGroup
from paasd.model.revisions import deployed_revision
from paasd.state import ReadTx, Tx, operation

GroupName = Literal["running", "staging"]
GROUPS: Final = ("running", "staging")


def group_context(name: str) -> str:
    """The context under which a group is sealed."""
    return f"environment variable group {name}"


def read_group(tx: ReadTx, name: str) -> VariableGroup:
    """The group, empty until somebody sets something. Raises NotFound."""
    if name not in GROUPS:
        raise NotFound("Environment variable group")
    return tx.get(VariableGroup, name) or VariableGroup(name=name)


def has_secrets(tx: ReadTx, app: App, group: GroupName) -> bool:
    """Whether the app's environment has to be opened by somebody with the keys before it is started or staged."""
    revision = deployed_revision(tx, app)
    return bool(app.environment or read_group(tx, group).variables or (revision is not None and revision.environment))


class SetVariableGroup(Arguments):
    """Arguments of `set_variable_group`: both sealed; `previous` guards against a change in between.

    `names` are all that were asked for, `removed` those of them that are to go.
    """

    name: str
    previous: str
    variables: str
    names: list[str]
    removed: list[str] = []
    actor: Actor


@operation("variable_group.set", version=1)
def set_variable_group(tx: Tx, args: SetVariableGroup) -> VariableGroup | None:
    """None when the group is no longer `previous`: read, merge and seal again. Raises NotFound."""
    group = read_group(tx, args.name)
    if group.variables != args.previous:
        return None
    if tx.get(VariableGroup, args.name) is None:
        group = tx.insert(VariableGroup(name=args.name, variables=args.variables))
    else:
        group = tx.update(group, variables=args.variables)
    record_event(
        tx,
        "audit.environment_variable_group.update",
        args.actor,
        target_type="environment_variable_group",
        target_guid=group.name,
        target_name=group.name,
        data={"environment_variables": args.names, "removed": args.removed},
    )
    return group
