"""Reads every blob of this node once in a while, since a disk does not say that it has forgotten."""

from collections.abc import Callable
from random import Random

import structlog
import trio

from paasd.blobs import BlobDamaged, Blobs
from paasd.errors import NotFound, PaasdError

LONGEST_PAUSE_S = 600.0


async def scrub_forever(blobs: Blobs, interval_s: float, damaged: Callable[[str], None], random: Random) -> None:
    """One blob at a time, spread over `interval_s`; a damaged one is told, and brought anew from elsewhere."""
    while True:
        names = await trio.to_thread.run_sync(blobs.stored)
        # Not from the beginning each time: a daemon that is restarted often would never come to the end.
        random.shuffle(names)
        pause_s = min(LONGEST_PAUSE_S, interval_s / max(1, len(names)))
        for sha256 in names:
            await trio.sleep(pause_s)
            await scrub(blobs, sha256, damaged)
        if not names:
            await trio.sleep(pause_s)


async def scrub(blobs: Blobs, sha256: str, damaged: Callable[[str], None]) -> None:
    """Look at one blob."""
    log = structlog.get_logger()
    try:
        await blobs.verify(sha256)
    except NotFound:
        return
    except BlobDamaged as error:
        log.error("blob damaged", blob=sha256, reason=error.detail)
        damaged(sha256)
    except OSError as error:
        log.error("blob cannot be read", blob=sha256, reason=error.strerror)
        damaged(sha256)
        return
    else:
        return
    try:
        await blobs.ensure(sha256)
    except PaasdError as error:
        log.error("damaged blob not replaced", blob=sha256, reason=error.detail)
