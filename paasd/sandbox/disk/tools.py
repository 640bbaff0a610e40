"""Programs of the distribution that make file systems: run with a quiet environment, errors as sentences."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from paasd.sandbox.disk.loops import MountError

_PACKAGES = {"mkfs.ext4": "e2fsprogs", "mke2fs": "e2fsprogs", "mksquashfs": "squashfs-tools", "unshare": "util-linux"}


def tool_environment() -> dict[str, str]:
    """The daemon's environment in plain English, without SOURCE_DATE_EPOCH, which mksquashfs refuses beside options."""
    return {k: v for k, v in os.environ.items() if k != "SOURCE_DATE_EPOCH"} | {"LC_ALL": "C.UTF-8"}


def run_tool(command: Sequence[str]) -> None:
    """Run to the end; blocks. Raises MountError with the package that is missing or what the program said."""
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=tool_environment()
        )
    except FileNotFoundError as error:
        raise MountError(f"{name} is not installed: apt-get install {_PACKAGES.get(name, name)}") from error
    if done.returncode:
        raise MountError(f"{name} failed: {done.stderr.decode(errors='replace').strip()[:500]}")
