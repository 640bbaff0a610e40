"""An ext4 copy of a squashfs image, for kernels before 6.2, which cannot give a squashfs mount to a user namespace.

ext4 can since 5.12, and mke2fs fills an image from a directory without mounting it. Made once per image. Blocks.
"""

import os
import tempfile
from pathlib import Path

from paasd.sandbox import mounts
from paasd.sandbox.disk.loops import MountError, mount_image
from paasd.sandbox.disk.tools import run_tool

_BLOCK_BYTES = 4096
_INODE_BYTES = 256


def squashfs_to_ext4(image: Path, copy: Path, run_dir: Path, *, limit_bytes: int) -> None:
    """Write the tree of `image` to the ext4 image `copy`, atomically. Raises MountError.

    A megabyte of squashfs may unfold to a terabyte of zeros, and all would be read: more than the limit is refused.
    """
    with tempfile.TemporaryDirectory(dir=run_dir, prefix="probe-") as name:
        source = Path(name) / "tree"
        mount_image(image, source, "squashfs", read_only=True)
        try:
            _fill(source, copy, limit_bytes)
        finally:
            mounts.unmount(source, lazy=True)


def _fill(source: Path, copy: Path, limit_bytes: int) -> None:
    blocks, inodes = _measure(source)
    if (total := blocks * _BLOCK_BYTES + inodes * _INODE_BYTES) > limit_bytes:
        raise MountError(
            f"a layer unfolds to {total >> 20} MB, and {limit_bytes >> 20} MB are allowed ([disk] image_copy_limit_mb)"
        )
    # A twentieth more for extent trees and directories, and the inode tables; the file stays sparse.
    size = (blocks + blocks // 20) * _BLOCK_BYTES + inodes * _INODE_BYTES + 8 * 1024 * 1024
    temporary = copy.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-b", str(_BLOCK_BYTES), "-I", str(_INODE_BYTES)]
    command += ["-N", str(inodes), "-O", "^has_journal,^resize_inode", "-d", str(source), str(temporary)]
    command.append(str(size // _BLOCK_BYTES))
    root = source.stat()
    try:
        run_tool(command)
        # mke2fs gives the copy's root a lost+found and the owner 0, and containers would see both.
        target = source.with_name("copy")
        mount_image(temporary, target, "ext4", read_only=False)
        try:
            (target / "lost+found").rmdir()
            os.chown(target, root.st_uid, root.st_gid)
            target.chmod(root.st_mode & 0o7777)
        finally:
            mounts.unmount(target)
        temporary.replace(copy)
    finally:
        temporary.unlink(missing_ok=True)


def _measure(source: Path) -> tuple[int, int]:
    """Blocks and inodes that the tree needs on ext4, hard links counted once."""
    blocks, inodes, seen = 0, 16, set()
    for directory, names, files in os.walk(source):
        inodes += 1
        blocks += 1 + (len(names) + len(files)) // 32
        for name in (*names, *files):
            status = (Path(directory) / name).lstat()
            if status.st_nlink > 1 and status.st_ino in seen:
                continue
            seen.add(status.st_ino)
            inodes += 1
            blocks += -(-status.st_size // _BLOCK_BYTES) + 1
    return blocks, inodes
