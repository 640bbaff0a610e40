"""The `host` stack: a skeleton of our own, and parts of the host's /usr shown read-only over it. Functions block.

For development and tests: apps see which software the host has. Of /etc only what is listed here is copied, and only
what everybody may read; /usr/local, /root and the rest of the host stay out.
"""

import hashlib
import os
import shutil
import stat
from pathlib import Path

from paasd.errors import ConfigError
from paasd.sandbox.disk import skeleton

_USR = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share", "include")
_TOP = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# Names below /etc, as glob patterns: what programs in /usr need to work and what tells nothing about the operator.
_ETC = (
    "alternatives",
    "bash.bashrc",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "os-release",
    "perl",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "python3.*",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
    "nginx/mime.types",
)
_VERSION = "1"


def digest(host: Path = Path("/")) -> str:
    """Changes when the host's packages or what we take of /etc change, so that layers built on it are built again."""
    hasher = hashlib.sha256(_VERSION.encode())
    for path in (host / "var/lib/dpkg/status", *_wanted(host)):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            hasher.update(f"{path}\0".encode())
            hasher.update(path.read_bytes())
        else:
            names = sorted(f"{e.name} {e.stat().st_size} {e.stat().st_mtime_ns}" for e in path.iterdir() if e.exists())
            hasher.update(f"{path}\0{names}".encode())
    return hasher.hexdigest()


def binds(host: Path = Path("/")) -> tuple[tuple[Path, str], ...]:
    """Directories of the host and where they belong."""
    found = [host / "usr" / name for name in _USR]
    return tuple((path, f"/usr/{path.name}") for path in found if path.is_dir() and not path.is_symlink())


def build_skeleton(root: Path, host: Path = Path("/")) -> None:
    """Fill `root`, which must not exist, with everything but /usr. Raises ConfigError for hosts that cannot serve."""
    if not (host / "bin").is_symlink():
        raise ConfigError("the host stack needs a merged /usr; build the debian12 stack: paasd stack build debian12")
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    skeleton.make_directories(root)
    for _, target in binds(host):
        (root / target[1:]).mkdir(mode=0o755)
    for name in _TOP:
        if (host / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    for path in _wanted(host):
        _copy(path, root / path.relative_to(host), host)
    # Perl's and Python's packages look here for the state of dpkg; empty is truthful.
    (root / "var/lib/dpkg").mkdir(exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    skeleton.write_etc(root, replace_accounts=True)


def _wanted(host: Path) -> list[Path]:
    return sorted(path for pattern in _ETC for path in (host / "etc").glob(pattern))


def _copy(source: Path, target: Path, host: Path) -> None:
    """Copy what everybody may read; links stay links where their end is seen inside, else they become files."""
    if source.is_symlink():
        resolved = source.resolve()
        if not resolved.exists():
            return
        if _seen_inside(resolved, host):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(source.readlink())
            return
        source = resolved
    status = source.stat()
    if not status.st_mode & stat.S_IROTH:
        return
    if stat.S_ISDIR(status.st_mode):
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        for entry in source.iterdir():
            _copy(entry, target / entry.name, host)
    elif stat.S_ISREG(status.st_mode):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if status.st_mode & stat.S_IXUSR else 0o644)
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _seen_inside(path: Path, host: Path) -> bool:
    relative = path.relative_to(host.resolve()).parts
    if relative[0] == "usr":
        return len(relative) > 1 and relative[1] in _USR
    wanted = {p.resolve() for p in _wanted(host)}
    return any(parent in wanted for parent in (path, *path.parents))
