"""Stacks: administrators label them; they come with the platform and stay."""

from typing import NoReturn

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import App
from paasd.model.arguments import Metadata
from paasd.model.metadata import MergeMetadata, merge_resource_metadata
from paasd.model.stacks import STACKS, labelled_as
from paasd.state import Eq, Or


def need(name: str) -> str:
    """The name. Raises NotFound for that of no stack."""
    if name not in STACKS:
        raise NotFound("Stack")
    return name


async def update(context: Context, caller: Caller, name: str, metadata: Metadata | None) -> None:
    """Label it. Raises NotFound, Forbidden, Unprocessable."""
    need(name)
    authorise_admin(caller)
    if metadata is not None:
        merge = MergeMetadata(
            resource_type="stack", resource_guid=labelled_as(name), metadata=metadata, actor=actor_of(caller)
        )
        await context.database.write(merge_resource_metadata, merge)


def create(caller: Caller, name: str) -> NoReturn:
    """Raises Unprocessable, whatever the name; Forbidden."""
    authorise_admin(caller)
    if name in STACKS:
        raise Unprocessable("Name must be unique")
    raise Unprocessable(f"Stacks come with the platform and cannot be added. There are {', '.join(sorted(STACKS))}.")


def delete(context: Context, caller: Caller, name: str) -> NoReturn:
    """Raises Unprocessable, whether apps use it or not; NotFound, Forbidden."""
    need(name)
    authorise_admin(caller)
    with context.database.read() as tx:
        named = (name, None) if name == context.config.sandbox.stack else (name,)
        if tx.all(App, Or(*(Eq("stack", one) for one in named)), limit=1):
            raise Unprocessable(f"Cannot delete stack '{name}' because apps are currently using the stack.")
    raise Unprocessable(f"Stack '{name}' comes with the platform and cannot be deleted.")
