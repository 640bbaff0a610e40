"""Numbers the starts of a node's daemon: what an earlier start has said must not outlive what the next one says.

A number is a count and 16 random bits. A machine that is set back to a snapshot counts to the same again, but draws
other bits: its number is then higher than what others know, or lower, which they tell it.
"""

import os
from pathlib import Path
from random import Random
from typing import Final

FILE: Final = "boot"
RANDOM_BITS: Final = 16


def next_boot(before: int, random: Random) -> int:
    """The number of the start after the one of this number; 0 is before the first."""
    return ((before >> RANDOM_BITS) + 1) << RANDOM_BITS | random.getrandbits(RANDOM_BITS)


def take_boot(directory: Path, random: Random) -> int:
    """The number of this start, which is on disk when this returns."""
    try:
        before = int((directory / FILE).read_text())
    except (FileNotFoundError, ValueError):
        before = 0  # others that know better will say so, and `store_boot` follows them
    boot = next_boot(before, random)
    store_boot(directory, boot)
    return boot


def store_boot(directory: Path, boot: int) -> None:
    """Count on from here."""
    part = directory / f"{FILE}.part"
    with part.open("w") as file:
        file.write(f"{boot}\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory / FILE)
