"""Feature flags: what the platform allows at all. A row says what an administrator decided, else the default counts."""

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, UnsetType

from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.records import FeatureFlag
from paasd.state import ReadTx, Tx, operation

DEFAULTS: Final[Mapping[str, bool]] = {
    "app_bits_upload": True,
    "app_scaling": True,
    "diego_cnb": False,
    "diego_docker": False,
    "env_var_visibility": True,
    "hide_marketplace_from_unauthenticated_users": False,
    "private_domain_creation": True,
    "resource_matching": False,
    "route_creation": True,
    "route_sharing": False,
    "service_instance_creation": False,
    "service_instance_sharing": False,
    "set_roles_by_username": True,
    "space_developer_env_var_visibility": True,
    "space_scoped_private_broker_creation": False,
    "task_creation": True,
    "unset_roles_by_username": True,
    "user_org_creation": False,
}
MISSING: Final[Mapping[str, str]] = {
    "diego_cnb": "apps are built by buildpacks of the classic kind",
    "diego_docker": "Docker images are not run",
    "hide_marketplace_from_unauthenticated_users": "nobody sees anything without signing in",
    "resource_matching": "uploads are always whole",
    "service_instance_creation": "there are no services",
    "service_instance_sharing": "there are no services",
    "space_scoped_private_broker_creation": "there are no service brokers",
}
"""Flags of things that this platform does not have: to switch one on would promise what nobody keeps."""
FOR_EVERYBODY: Final = frozenset({"env_var_visibility", "route_sharing"})
"""Flags that bind administrators, too."""
MESSAGE_LIMIT: Final = 250


class FeatureDisabled(Forbidden):
    """A flag forbids it."""


def read_flag(tx: ReadTx, name: str) -> FeatureFlag:
    """The flag as it stands; one without a row was never changed. Raises NotFound."""
    if name not in DEFAULTS:
        raise NotFound("Feature flag")
    return tx.get(FeatureFlag, name) or FeatureFlag(name=name, enabled=DEFAULTS[name])


def read_flags(tx: ReadTx) -> list[FeatureFlag]:
    """All of them by name."""
    known = {row.name: row for row in tx.all(FeatureFlag)}
    return [known.get(name) or FeatureFlag(name=name, enabled=default) for name, default in sorted(DEFAULTS.items())]


def check_flag(tx: ReadTx, name: str, *, admin: bool) -> None:
    """Raise FeatureDisabled where the flag is off; administrators go on, but for the flags that bind everybody."""
    if admin and name not in FOR_EVERYBODY:
        return
    flag = read_flag(tx, name)
    if not flag.enabled:
        raise FeatureDisabled(f"Feature Disabled: {flag.custom_error_message or name}")


class SetFlag(Arguments):
    """Arguments of `set_flag`; UNSET leaves as it is, a message of None takes the custom one away."""

    name: str
    enabled: bool | UnsetType = UNSET
    custom_error_message: str | UnsetType | None = UNSET
    actor: Actor


@operation("feature_flag.set", version=1)
def set_flag(tx: Tx, args: SetFlag) -> FeatureFlag:
    """Raises NotFound, and Unprocessable for what the platform does not have."""
    former = flag = read_flag(tx, args.name)
    enabled = flag.enabled if isinstance(args.enabled, UnsetType) else args.enabled
    if enabled and args.name in MISSING:
        raise Unprocessable(f"The feature {args.name} cannot be enabled: on this platform {MISSING[args.name]}.")
    message = flag.custom_error_message
    if not isinstance(args.custom_error_message, UnsetType):
        message = args.custom_error_message
    if message is not None and not 1 <= len(message) <= MESSAGE_LIMIT:
        raise Unprocessable(f"Custom error message must be between 1 and {MESSAGE_LIMIT} characters")
    if tx.get(FeatureFlag, args.name) is None:
        flag = tx.insert(FeatureFlag(name=args.name, enabled=enabled, custom_error_message=message))
    else:
        flag = tx.update(flag, enabled=enabled, custom_error_message=message)
    record_event(
        tx,
        "audit.feature_flag.update",
        args.actor,
        target_type="feature_flag",
        target_guid=flag.name,
        target_name=flag.name,
        data={"enabled": enabled, "custom_error_message": message, **difference(former, flag)},
    )
    return flag
