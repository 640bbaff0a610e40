"""The judge of sign-in for as long as a node runs: its keys are read again when others change them."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
import trio

from paasd.auth.service import Auth
from paasd.config import AuthConfig
from paasd.errors import PaasdError, Unavailable
from paasd.state import Database
from paasd.state.sealing import Sealer

KEY_CHECK_S = 300.0


@asynccontextmanager
async def open_auth(
    config: AuthConfig,
    database: Database,
    sealer: Sealer,
    *,
    issuer: str,
    clock: Callable[[], float] = time.time,
    signs: bool = True,
) -> AsyncIterator[Auth]:
    """The judge, with its keys read and, at first start, made. `issuer` stands in every token.

    Without `signs` (a worker) it judges by the keys that others publish.
    """
    auth = Auth(config, database, sealer, issuer, clock, signs=signs)
    log = structlog.get_logger("paasd.auth")
    try:
        await auth.refresh_keys()
    except Unavailable as error:  # a cluster without quorum: the keys that there are go on counting
        log.warning("signing keys not refreshed", error=error.detail)

    async def look_after_keys() -> None:
        async with database.watch("signing_keys") as changes:
            while True:
                with trio.move_on_after(KEY_CHECK_S):
                    await changes.wait()
                changes.take()
                try:
                    await auth.refresh_keys()
                except PaasdError as error:
                    log.warning("signing keys not refreshed", error=error.detail)
                    await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look_after_keys)
        nursery.start_soon(auth.notes.write)
        try:
            yield auth
        finally:
            nursery.cancel_scope.cancel()
