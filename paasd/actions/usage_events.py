"""Usage events: read by administrators, who may also begin them anew."""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.model import usage_events as model


async def purge_and_reseed(context: Context, caller: Caller) -> None:
    """Forget all events, then write one for each process that runs now. Administrators only.

    In small writes, the new ones first, so that the count of sequences goes on and whatever runs is always in it.
    """
    authorise_admin(caller)
    with context.database.read() as tx:
        newest = model.newest_sequence(tx)
    while not await context.database.write(model.reseed_usage, model.ReseedUsage(after=newest)):
        pass
    purge = model.PurgeUsage(upto=newest, actor=actor_of(caller))
    while not await context.database.write(model.purge_usage, purge):
        pass
