"""What a node makes of itself at its first start: its directory, guid, first organization and admin account."""

import os
import secrets
import stat
import uuid
from pathlib import Path

import msgspec
import psutil
import structlog

from paasd.actions import Context
from paasd.auth.caller import ADMIN_SCOPES
from paasd.auth.passwords import Passwords
from paasd.config import Config
from paasd.errors import ConfigError, OutcomeUnknown, Unavailable, Unprocessable
from paasd.membership import Membership
from paasd.model import Domain, User
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import RegisterNode, register_node
from paasd.model.records.quotas import FIRST_LIMITS
from paasd.model.settings import Bootstrap, bootstrap
from paasd.model.users import CreateUser, create_user
from paasd.state import Database

ADMIN = "admin"
PASSWORD_FILE = "admin-password"
_SHARE_FOR_TENANTS = 0.8
_MB = 1024 * 1024


def prepare_directory(path: Path) -> Path:
    """The data directory, made 0700. Raises ConfigError when it cannot be had or others could read it."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"the data directory {path} cannot be made: {error.strerror}; name another with --data"
        ) from error
    if status.st_uid != os.geteuid():
        raise ConfigError(f"the data directory {path} belongs to another user; chown it or name another with --data")
    if stat.S_IMODE(status.st_mode) & 0o077:
        path.chmod(0o700)
    return path.resolve()


def node_guid(directory: Path) -> str:
    """The node's own guid, drawn once and kept beside the data."""
    path = directory / "node-guid"
    if not path.exists():
        write_private(path, str(uuid.uuid4()))
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file of the owner alone, whole or not at all, on disk when this returns."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


async def registered(config: Config, directory: Path, database: Database, guid: str, membership: Membership) -> None:
    """Write what this machine has into its row, and what every platform has from its first start.

    A member whose cluster has no quorum starts all the same: its row is written when that is back.
    """
    try:
        await register(config, directory, database, guid, membership)
    except (Unavailable, OutcomeUnknown) as error:
        if not membership.opened.is_set():
            raise
        structlog.get_logger(__name__).warning("registering is put off", reason=error.detail)
        membership.later(lambda: register(config, directory, database, guid, membership))


async def register(config: Config, directory: Path, database: Database, guid: str, membership: Membership) -> None:
    """Raises Unavailable, OutcomeUnknown."""
    with database.read() as tx:
        begun = tx.exists(Domain, name=config.domains.apps)
    if not begun:
        await database.write(bootstrap, Bootstrap(apps_domain=config.domains.apps, limits=FIRST_LIMITS))
    machine = measure(config, directory, guid)
    if membership.opened.is_set():
        machine = msgspec.structs.replace(machine, zone=membership.member.zone)
    await database.write(register_node, machine)


def measure(config: Config, directory: Path, guid: str) -> RegisterNode:
    """What this machine has for tenants, as configured or as found."""
    machine = config.node
    return RegisterNode(
        guid=guid,
        name=machine.name or os.uname().nodename,
        zone=machine.zone,
        memory_mb=machine.memory_mb or int(psutil.virtual_memory().total / _MB * _SHARE_FOR_TENANTS),
        disk_mb=machine.disk_mb or int(psutil.disk_usage(str(directory)).total / _MB * _SHARE_FOR_TENANTS),
        cpus=psutil.cpu_count() or 1,
    )


async def ensure_admin(context: Context, directory: Path, passwords: Passwords) -> str | None:
    """Make the admin account once; its password, the first time only. It is kept in DATA/admin-password."""
    with context.database.read() as tx:
        if tx.exists(User, username=ADMIN, origin="uaa"):
            return None
    path = directory / PASSWORD_FILE
    # The file comes first: a crash in between must not leave an account whose password nobody knows.
    if not path.exists():
        write_private(path, secrets.token_urlsafe(18))
    password = path.read_text().strip()
    account = CreateUser(
        username=ADMIN,
        password_hash=await passwords.hash(password),
        scopes=sorted(ADMIN_SCOPES),
        registered=True,
        actor=SYSTEM,
    )
    try:
        await context.database.write(create_user, account)
    except Unprocessable:
        return None  # Another node was quicker.
    return password
