"""Programs of the distribution that run as root on the host: those in the system's own directories.

PATH is what whoever started the daemon has, and may begin with a directory that others can write to.
"""

import os
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from paasd.errors import Unavailable

DIRECTORIES: Final = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
PACKAGES: Final = {
    "apt-get": "apt",
    "dpkg": "dpkg",
    "etcd": "etcd-server",
    "mkfs.ext4": "e2fsprogs",
    "mksquashfs": "squashfs-tools",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
    "unsquashfs": "squashfs-tools",
}
"""Debian's packages."""


class ProgramMissing(Unavailable):
    """A program is not installed; the detail names the package."""


def find_program(name: str, directories: tuple[str, ...] = ()) -> str:
    """Where a program is, in the system's directories or in others. Raises ProgramMissing."""
    return _find(name, directories or DIRECTORIES)


@cache  # what was found; what is missing may be installed meanwhile
def _find(name: str, directories: tuple[str, ...]) -> str:
    found = shutil.which(name, path=os.pathsep.join(directories))
    if found is None:
        raise ProgramMissing(f"{name} is not installed: apt-get install {PACKAGES.get(name, name)}")
    return found


def in_full(command: Sequence[str]) -> list[str]:
    """A command whose program is named by its path. Raises ProgramMissing."""
    program, *arguments = command
    return [program if Path(program).is_absolute() else find_program(program), *arguments]


def system_environment() -> dict[str, str]:
    """The daemon's environment in plain English, with the system's PATH for what programs start themselves.

    It is without SOURCE_DATE_EPOCH, which mksquashfs refuses beside options.
    """
    kept = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    return kept | {"LC_ALL": "C.UTF-8", "PATH": os.pathsep.join(DIRECTORIES)}
