"""Opens secrets with the keys of this node."""

import msgspec
import trio.lowlevel

from paasd.errors import NotFound
from paasd.model import App, Build, Instance
from paasd.model.apps import environment_context
from paasd.state import Database
from paasd.unsealing.interface import Opener, Unsealed


class LocalUnsealing:
    """For control nodes, whose sealer is `opener`."""

    def __init__(self, database: Database, opener: Opener) -> None:
        self._database = database
        self._opener = opener

    async def instance(self, guid: str, epoch: int) -> Unsealed:
        return await self._unseal(Instance, guid, epoch)

    async def build(self, guid: str, epoch: int) -> Unsealed:
        return await self._unseal(Build, guid, epoch)

    async def _unseal(self, kind: type[Instance] | type[Build], guid: str, epoch: int) -> Unsealed:
        await trio.lowlevel.checkpoint()
        with self._database.read() as tx:
            row = tx.get(kind, guid)
            if row is None or row.epoch != epoch:
                raise NotFound(kind.__name__, f"{kind.__name__} {guid} of epoch {epoch} is not wanted any more")
            sealed = tx.need(App, row.app_guid).environment
            app_guid = row.app_guid
        if not sealed:
            return Unsealed()
        plain = msgspec.json.decode(self._opener.open(sealed, environment_context(app_guid)), type=dict[str, object])
        return Unsealed(environment={name: str(value) for name, value in plain.items()})
