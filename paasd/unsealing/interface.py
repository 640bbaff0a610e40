"""What the supervisor and the stager ask, whoever has the keys."""

from typing import Any, Protocol

import msgspec


class Opener(Protocol):
    """The half of a sealer that is needed here."""

    def open(self, sealed: str, context: str) -> bytes:
        """The plain bytes. Raises PaasdError."""


class Unsealed(msgspec.Struct, frozen=True, kw_only=True):
    """The app's own variables beside those of the group that all apps have, and what VCAP_SERVICES holds."""

    environment: dict[str, str] = {}
    services: dict[str, Any] = {}


class Unsealing(Protocol):
    """Asked with the epoch of the row: what has been placed elsewhere since is opened no more."""

    async def instance(self, guid: str, epoch: int) -> Unsealed:
        """For one instance. Raises NotFound, Forbidden, and Unavailable while nobody with the keys can be reached."""

    async def task(self, guid: str, epoch: int) -> Unsealed:
        """The same for one task."""

    async def build(self, guid: str, epoch: int) -> Unsealed:
        """The same for one build."""
