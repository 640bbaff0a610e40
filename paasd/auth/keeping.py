"""Signing keys as rows: the next one is made and the dead ones are dropped when it is time, on whatever node."""

import uuid

from paasd.auth.keys import KeyRing, expired, make_key, next_key
from paasd.config import AuthConfig
from paasd.model import signing
from paasd.state import Database
from paasd.state.sealing import Sealer


async def keep_keys(database: Database, sealer: Sealer, config: AuthConfig, now: int) -> KeyRing:
    """The keys after that. Two nodes at once make one key."""
    with database.read() as tx:
        rows = signing.signing_keys(tx)
    wanted = next_key(config, rows, now)
    if wanted is not None:
        kid = uuid.uuid4().hex[:16]
        sealed, public = make_key(kid, sealer)
        arguments = signing.AddSigningKey(
            kid=kid,
            sealed_private=sealed,
            public_jwk=public,
            active_from=wanted.active_from,
            expires_at=wanted.expires_at,
            after_kid=rows[-1].kid if rows else None,
        )
        await database.write(signing.add_signing_key, arguments)
    if expired(rows, now):
        await database.write(signing.drop_signing_keys, signing.DropSigningKeys(expired_at=now))
    with database.read() as tx:
        return KeyRing(signing.signing_keys(tx), sealer)
