import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from paasd.sandbox import mounts


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of its own outside /tmp, for loop devices and mounts; everything mounted in it goes at the end."""
    directory = Path(f"/var/tmp/paasd-test-{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    yield directory
    for mounted in mounts.mounted_below(directory):
        mounts.unmount(mounted, lazy=True)
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    directory.rmdir()
