"""Revisions: seen by all who see the app, labelled by developers, who alone read the variables of former times."""

from paasd.actions.context import Context, actor_of
from paasd.actions.environment import need_readable, open_sealed
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_of_app, need_visible
from paasd.auth import Caller
from paasd.model import Revision
from paasd.model import revisions as model
from paasd.model.apps import environment_context
from paasd.model.arguments import Metadata


async def update(context: Context, caller: Caller, revision_guid: str, metadata: Metadata | None) -> Revision:
    """Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Revision, revision_guid, Permission.WRITE_SPACE)
    arguments = model.UpdateRevision(revision_guid=revision_guid, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_revision, arguments)


async def read_variables(context: Context, caller: Caller, revision_guid: str) -> tuple[Revision, dict[str, str]]:
    """What users had set. That somebody read it is written down first. Raises NotFound, Forbidden, FeatureDisabled."""
    with context.database.read() as tx:
        revision = need_visible(tx, caller, Revision, revision_guid)
        need_readable(tx, caller, revision.app_guid, Permission.READ_SECRETS)
    arguments = model.RecordShown(revision_guid=revision_guid, actor=actor_of(caller))
    revision = await context.database.write(model.record_shown, arguments)
    return revision, open_sealed(context, revision.environment, environment_context(revision.app_guid))
