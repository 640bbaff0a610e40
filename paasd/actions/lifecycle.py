"""What an app may ask to be staged with: buildpacks and stacks that exist, told before a build fails on it."""

from collections.abc import Container, Iterable
from typing import Final
from urllib.parse import urlsplit

from paasd.actions.context import Context
from paasd.buildpacks.builtin import resolve
from paasd.errors import Unprocessable
from paasd.model.auditing import without_password
from paasd.model.buildpacks import usable
from paasd.model.stacks import STACKS

GIT_SCHEMES: Final = ("http", "https", "git", "ssh")


def buildpack_problem(name: str, installed: Container[str] = ()) -> str | None:
    """Why there is no such buildpack; `installed` are those of the operator. Clients look for these words."""
    if without_password(name) != name:
        return (
            "Buildpack addresses with a name and password are not accepted: everybody who sees the app would see them"
        )
    if name in installed or resolve(name) is not None or _is_address(name):
        return None
    return f'Buildpack "{name}" must be an existing admin buildpack or a valid git URI'


def _is_address(name: str) -> bool:
    """One that git can be given: Python's own reading leaves out line breaks and takes any other character."""
    if not name.isprintable() or " " in name:
        return False
    try:
        address = urlsplit(name)
    except ValueError:
        return False
    return address.scheme in GIT_SCHEMES and bool(address.netloc)


def installed(context: Context) -> set[str]:
    """Names of the operator's buildpacks: in the configuration, or uploaded and enabled."""
    with context.database.read() as tx:
        return {*context.config.staging.buildpacks, *(row.name for row in usable(tx))}


def check_buildpacks(names: Iterable[str], installed: Container[str] = ()) -> None:
    """Raise Unprocessable for a buildpack that is neither built in, nor installed, nor an address."""
    for name in names:
        problem = buildpack_problem(name, installed)
        if problem is not None:
            raise Unprocessable(problem)


def check_stack(name: str | None) -> None:
    """Raise Unprocessable for a stack that the platform does not know."""
    if name is not None and name not in STACKS:
        raise Unprocessable(f"Stack must be an existing stack; there are {', '.join(STACKS)}")


def check_lifecycle(lifecycle_type: str) -> None:
    """Raise Unprocessable for a lifecycle that this platform does not have."""
    if lifecycle_type != "buildpack":
        raise Unprocessable(f"Lifecycle type '{lifecycle_type}' is not supported; use 'buildpack'.")
