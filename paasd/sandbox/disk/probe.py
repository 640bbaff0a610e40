"""Whether this kernel lets a squashfs mount be owned by a user namespace (6.2 and later do). Blocks; asked once."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paasd.programs import in_full
from paasd.sandbox import mounts
from paasd.sandbox.disk.loops import mount_image
from paasd.sandbox.disk.pack import mksquashfs_arguments
from paasd.sandbox.disk.tools import run_tool


@contextmanager
def user_namespace(base: int) -> Iterator[int]:
    """An fd of a new user namespace that maps ids 0.. to `base`.. of the host."""
    # The child says when it is inside, and ends when its standard input does.
    command = in_full(["unshare", "--user", "/bin/sh", "-c", "echo; read _"])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdout.readline()
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{child.pid}/{name}").write_text(f"0 {base} 65536\n")
            fd = os.open(f"/proc/{child.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            child.stdin.close()
    try:
        yield fd
    finally:
        os.close(fd)


def can_idmap(path: Path) -> bool:
    """Whether the file system mounted at `path` can be idmapped."""
    with user_namespace(1 << 30) as userns:
        try:
            os.close(mounts.idmapped(path, userns))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.EPERM, errno.ENOSYS):
                return False
            raise
    return True


def squashfs_can_be_idmapped(run_dir: Path) -> bool:
    """Mount an empty image and try. Needs mksquashfs and loop devices."""
    with tempfile.TemporaryDirectory(dir=run_dir, prefix="probe-") as name:
        directory = Path(name)
        (directory / "empty").mkdir()
        image, target = directory / "image", directory / "mounted"
        command = mksquashfs_arguments(str(directory / "empty"), str(image), keep_times=False, processors=1)
        run_tool(command)
        mount_image(image, target, "squashfs", read_only=True)
        try:
            return can_idmap(target)
        finally:
            mounts.unmount(target, lazy=True)
