"""Counts the starts of a node's daemon: what an earlier start has said must not outlive what the next one says."""

import os
from pathlib import Path
from typing import Final

FILE: Final = "boot"


def take_boot(directory: Path) -> int:
    """The number of this start, which is on disk when this returns. Without a file it is the first."""
    try:
        before = int((directory / FILE).read_text())
    except (FileNotFoundError, ValueError):
        before = 0  # others that know better will say so, and `store_boot` follows them
    store_boot(directory, before + 1)
    return before + 1


def store_boot(directory: Path, boot: int) -> None:
    """Count on from here."""
    part = directory / f"{FILE}.part"
    with part.open("w") as file:
        file.write(f"{boot}\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(directory / FILE)
