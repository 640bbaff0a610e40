"""A node that was removed from its platform: how it finds out, and what it keeps of it for its next start.

The rows of the others say it first, and those it may not read any more; so it asks, and believes control nodes alone.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from paasd.errors import PaasdError
from paasd.membership.files import FOLDER, Place
from paasd.membership.messages import HERE
from paasd.peer import Peers, PeerUnreachable
from paasd.pki import write_private

NAME: Final = "removed.json"
ASK_S: Final = 2.0


class Removed(PaasdError):
    """This node was removed; the detail says what it has done about it, and how the machine joins again."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """The content of DATA/member/removed.json. `at` in unix seconds."""

    version: int = 1
    said_by: str
    at: float

    def in_words(self, directory: Path) -> str:
        """For `paasd status`, and for everybody who asks this node for something."""
        when = f"{datetime.fromtimestamp(self.at, UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"this node was removed from its platform (found out at {when} from {self.said_by}): what ran here is "
            "stopped, and other nodes do not talk to it any more. To join again: `paasd stop` here, move "
            f"{directory} away, `paasd token create` on a node of the platform, then `paasd join TOKEN` here"
        )


def read_removal(directory: Path) -> Removal | None:
    """What was noted in this data directory; None for a node that nobody removed."""
    try:
        return msgspec.json.decode((directory / FOLDER / NAME).read_bytes(), type=Removal)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError:
        return Removal(said_by="a note that cannot be read", at=0.0)


def note_removal(directory: Path, said_by: str, now_s: float) -> None:
    """Write it down for good, unless it is already."""
    if read_removal(directory) is None:
        write_private(directory / FOLDER / NAME, msgspec.json.encode(Removal(said_by=said_by, at=now_s)))


def remember_removal(directory: Path, clock: Callable[[], float]) -> Callable[[str], None]:
    """For `peers.on_removed`, also before the node is open far enough to act on it."""
    return lambda said_by: note_removal(directory, f"node {said_by}", clock())


async def ask_whether_member(peers: Peers, places: Sequence[Place]) -> bool:
    """Whether one of these control nodes answered; to one that is none any more they say just that (`on_removed`)."""
    for place in places:
        try:
            await peers.call(place.guid, HERE, timeout_s=ASK_S)
        except PeerUnreachable:
            continue
        except PaasdError:
            pass  # it answered: of an older release, or that this node is no member
        return True
    return False
