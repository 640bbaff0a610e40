"""Programs of the distribution that make file systems: run with a quiet environment, errors as sentences."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from paasd.programs import ProgramMissing, in_full, system_environment
from paasd.sandbox.disk.loops import MountError


def run_tool(command: Sequence[str]) -> None:
    """Run to the end; blocks. Raises MountError with the package that is missing or what the program said."""
    try:
        command = in_full(command)
    except ProgramMissing as error:
        raise MountError(error.detail) from error
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=system_environment())
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[:500]
        raise MountError(f"{Path(command[0]).name} failed: {said}")
