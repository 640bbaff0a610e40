"""ssh into instances: codes that count once on whatever node, the platform's host key, the organizations' switch."""

from typing import Any, Final

from paasd.model.arguments import SYSTEM, Actor, Arguments
from paasd.model.events import record_app_event, record_event
from paasd.model.records import App, Organization, SshCode, SshHostKey, SshSwitch, User
from paasd.state import Le, ReadTx, Tx, operation

ROOT: Final = "root"
OPEN_LIMIT: Final = 10
"""Codes of one user; the oldest go."""


class CreateSshCode(Arguments):
    """Arguments of `create_ssh_code`; see `SshCode`."""

    code_hash: str
    user_guid: str
    client: str = "cf"
    scopes: list[str] = []
    with_factor: bool = False
    signature: str = ""
    expires_at: int


@operation("ssh.create_code", version=1)
def create_ssh_code(tx: Tx, args: CreateSshCode) -> SshCode:
    """Forgets expired ones, and the oldest of a user with many. Raises NotFound."""
    if args.user_guid != ROOT:
        tx.need(User, args.user_guid)
    tx.delete_all(SshCode, Le("expires_at", int(tx.now_s)))
    mine = tx.all(SshCode, user_guid=args.user_guid, order=("expires_at",))
    for old in mine[: max(0, len(mine) - OPEN_LIMIT + 1)]:
        tx.delete(old)
    return tx.insert(
        SshCode(
            code_hash=args.code_hash,
            user_guid=args.user_guid,
            client=args.client,
            scopes=args.scopes,
            with_factor=args.with_factor,
            signature=args.signature,
            expires_at=args.expires_at,
        )
    )


class UseSshCode(Arguments):
    """Arguments of `use_ssh_code`: what was asked for, by whom, and the refusal ("" when there is none).

    `app_guid` is empty where the user sees no such app; `wanted` is what was typed in its place.
    """

    code_hash: str
    actor: Actor
    app_guid: str = ""
    wanted: str = ""
    refusal: str = ""
    process_type: str = ""
    index: int = 0
    instance_guid: str = ""
    node_guid: str = ""


@operation("ssh.use_code", version=1)
def use_ssh_code(tx: Tx, args: UseSshCode) -> bool:
    """Take the code, and record who comes in or was refused, and why. False when it never was, was taken or expired."""
    found = tx.get(SshCode, args.code_hash)
    if found is None:
        return False
    tx.delete(found)
    if found.expires_at <= tx.now_s:
        return False
    app = tx.get(App, args.app_guid) if args.app_guid else None
    data: dict[str, Any] = {"index": args.index}
    if args.refusal:
        data["reason"] = args.refusal
    if app is None:
        # What the user does not see is no event of the one whose app it may be.
        record_event(
            tx,
            "audit.user.ssh-unauthorized",
            args.actor,
            target_type="user",
            target_guid=args.actor.guid,
            target_name=args.actor.name,
            data={**data, "wanted": args.wanted},
        )
        return True
    data |= {"process": args.process_type, "instance": args.instance_guid, "node": args.node_guid}
    kind = "unauthorized" if args.refusal else "authorized"
    record_app_event(tx, f"audit.app.ssh-{kind}", args.actor, app, data)
    return True


class AddSshHostKey(Arguments):
    """Arguments of `add_ssh_host_key`."""

    algorithm: str
    sealed_private: str
    public_key: str


@operation("ssh.add_host_key", version=1)
def add_ssh_host_key(tx: Tx, args: AddSshHostKey) -> bool:
    """False when there is one already, so that two nodes at once make one."""
    if tx.get(SshHostKey, args.algorithm) is not None:
        return False
    tx.insert(SshHostKey(algorithm=args.algorithm, sealed_private=args.sealed_private, public_key=args.public_key))
    record_event(
        tx,
        "platform.ssh_host_key.add",
        SYSTEM,
        target_type="ssh_host_key",
        target_guid=args.algorithm,
        target_name=args.algorithm,
        data={"public_key": args.public_key},
    )
    return True


class SwitchSsh(Arguments):
    """Arguments of `switch_ssh`; None goes back to the platform's default."""

    organization_guid: str
    allowed: bool | None
    actor: Actor


@operation("ssh.switch", version=1)
def switch_ssh(tx: Tx, args: SwitchSsh) -> bool | None:
    """What counts from now on. Raises NotFound."""
    organization = tx.need(Organization, args.organization_guid)
    former = tx.get(SshSwitch, organization.guid)
    before = None if former is None else former.allowed
    if before == args.allowed:
        return before
    if former is not None:
        tx.delete(former)
    if args.allowed is not None:
        tx.insert(SshSwitch(organization_guid=organization.guid, allowed=args.allowed))
    record_event(
        tx,
        "audit.organization.ssh",
        args.actor,
        target_type="organization",
        target_guid=organization.guid,
        target_name=organization.name,
        organization_guid=organization.guid,
        data={"allowed": {"before": before, "after": args.allowed}},
    )
    return args.allowed


def organization_allows(tx: ReadTx, organization_guid: str, default: bool) -> bool:
    """What the organization says; `default` where it says nothing."""
    switch = tx.get(SshSwitch, organization_guid)
    return default if switch is None else switch.allowed


def first_host_key(tx: ReadTx) -> SshHostKey | None:
    """None before the first node with a door for ssh has made it, and after it was changed."""
    return tx.find(SshHostKey)
