"""The mksquashfs command line of layers, in one place so that equal input gives equal bytes. Pure."""

from collections.abc import Iterable

VCAP = 2000


def mksquashfs_arguments(
    source: str, target: str, *, keep_times: bool, exclude: Iterable[str] = (), processors: int = 2
) -> tuple[str, ...]:
    """Arguments that pack the directory `source` so that it becomes "/" of the image `target`.

    `keep_times` False sets every modification time to 0, so that a rebuild gives the same bytes; use it for toolchains
    and dependencies (with hash-checked .pyc files: those checked by time would be stale). Keep the times of an app:
    web servers make ETag and Last-Modified of static files from them. SOURCE_DATE_EPOCH must not be set in the
    environment, mksquashfs refuses it beside these options.
    """
    arguments = ["mksquashfs", source, target, "-noappend", "-no-progress", "-quiet", "-reproducible"]
    arguments += ["-comp", "zstd", "-Xcompression-level", "3", "-no-xattrs", "-mkfs-time", "0"]
    arguments += ["-force-uid", str(VCAP), "-force-gid", str(VCAP), "-processors", str(processors)]
    if not keep_times:
        arguments += ["-all-time", "0"]
    excluded = list(exclude)
    # -e takes all that follows, so it is last.
    return (*arguments, "-e", *excluded) if excluded else tuple(arguments)
