"""Opens secrets with the keys of this node."""

import msgspec
import trio.lowlevel

from paasd.errors import NotFound
from paasd.model import App, Build, Instance, Task
from paasd.model.apps import environment_context
from paasd.model.revisions import deployed_revision
from paasd.model.variable_groups import group_context, read_group
from paasd.state import Database
from paasd.unsealing.interface import Opener, Unsealed


class LocalUnsealing:
    """For control nodes, whose sealer is `opener`."""

    def __init__(self, database: Database, opener: Opener) -> None:
        self._database = database
        self._opener = opener

    async def instance(self, guid: str, epoch: int) -> Unsealed:
        return await self._unseal(Instance, guid, epoch)

    async def task(self, guid: str, epoch: int) -> Unsealed:
        return await self._unseal(Task, guid, epoch)

    async def build(self, guid: str, epoch: int) -> Unsealed:
        return await self._unseal(Build, guid, epoch)

    async def _unseal(self, kind: type[Instance] | type[Task] | type[Build], guid: str, epoch: int) -> Unsealed:
        await trio.lowlevel.checkpoint()
        with self._database.read() as tx:
            row = tx.get(kind, guid)
            if row is None or row.epoch != epoch:
                raise NotFound(kind.__name__, f"{kind.__name__} {guid} of epoch {epoch} is not wanted any more")
            app = tx.need(App, row.app_guid)
            group = read_group(tx, "staging" if kind is Build else "running")
            revision = deployed_revision(tx, app) if kind is Instance else None
        environment = self._open(group.variables, group_context(group.name))
        own = app.environment if revision is None else revision.environment
        environment |= self._open(own, environment_context(app.guid))
        return Unsealed(environment=environment)

    def _open(self, sealed: str, context: str) -> dict[str, str]:
        if not sealed:
            return {}
        plain = msgspec.json.decode(self._opener.open(sealed, context), type=dict[str, object])
        return {name: str(value) for name, value in plain.items()}
