"""The mksquashfs command line of layers, in one place so that equal input gives equal bytes. Pure."""

VCAP = 2000
# npm's own date for files without one. Not 0: zip files know no time before 1980, and apps zip what they depend on.
TIMELESS_S = 499_162_500


def squashfs_options(*, keep_times: bool, processors: int = 2) -> tuple[str, ...]:
    """What follows source and target in a mksquashfs command.

    `keep_times` False gives every file the same modification time, so that a rebuild gives the same bytes; use it for
    toolchains and dependencies (with hash-checked .pyc files: those checked by time would be stale). Keep the times of
    an app: web servers make ETag and Last-Modified of static files from them. SOURCE_DATE_EPOCH must not be set in the
    environment, mksquashfs refuses it beside these options.
    """
    options = ["-noappend", "-no-progress", "-quiet", "-reproducible"]
    # Level 3 packs a node_modules of 165 MB in half a second; higher levels cost seconds for a few per cent.
    options += ["-comp", "zstd", "-Xcompression-level", "3", "-no-xattrs", "-mkfs-time", "0"]
    options += ["-force-uid", str(VCAP), "-force-gid", str(VCAP), "-processors", str(processors)]
    return tuple(options) if keep_times else (*options, "-all-time", str(TIMELESS_S))


def mksquashfs_arguments(source: str, target: str, *, keep_times: bool, processors: int = 2) -> tuple[str, ...]:
    """Arguments that pack the directory `source` so that it becomes "/" of the image `target`; see above."""
    return ("mksquashfs", source, target, *squashfs_options(keep_times=keep_times, processors=processors))
