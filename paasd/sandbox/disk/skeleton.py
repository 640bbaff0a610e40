"""The parts of a root file system that paasd writes itself: accounts, name service, empty directories. Functions block.

Both stacks use them. Owners are 0 and 2000 as seen inside; an idmapped mount moves them to a container's block.
"""

import os
import shutil
from pathlib import Path

from paasd.sandbox.disk.pack import VCAP

VCAP_PASSWD = f"vcap:x:{VCAP}:{VCAP}:vcap:/home/vcap:/bin/bash"
VCAP_GROUP = f"vcap:x:{VCAP}:"
VCAP_SHADOW = "vcap:*:19000:0:99999:7:::"
_PASSWD = f"""\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
{VCAP_PASSWD}
"""
_GROUP = f"""\
root:x:0:
daemon:x:1:
tty:x:5:
www-data:x:33:
users:x:100:
nogroup:x:65534:
{VCAP_GROUP}
"""
ETC = {
    "passwd": _PASSWD,
    "group": _GROUP,
    "shadow": f"root:*:19000:0:99999:7:::\n{VCAP_SHADOW}\n",
    "resolv.conf": "nameserver 169.254.1.1\noptions timeout:2 attempts:3\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "hostname": "localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
    "protocols: files\nservices: files\nrpc: files\n",
    "host.conf": "multi on\n",
    "shells": "/bin/sh\n/bin/bash\n",
    "environment": "",
    "machine-id": "",
}
_TOP = ("dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var")
_BELOW = {"usr/local": ("", "bin", "lib", "sbin", "share"), "var": ("cache", "lib", "log", "tmp")}
_DIRECTORIES = (*_TOP, *(f"{parent}/{name}" for parent, names in _BELOW.items() for name in names))
_HOME = ("", "app", "deps", "tmp", "profile.d", "logs")


def write_etc(root: Path, *, replace_accounts: bool) -> None:
    """Write the files of ETC below `root`. A full system keeps its own accounts: `replace_accounts` False."""
    for name, content in ETC.items():
        path = root / "etc" / name
        if not replace_accounts and name in ("passwd", "group", "shadow", "nsswitch.conf", "shells", "environment"):
            continue
        path.unlink(missing_ok=True)
        path.write_text(content)
        path.chmod(0o640 if name == "shadow" else 0o644)


def make_directories(root: Path) -> None:
    """Directories that every container has, with /app and the home of vcap."""
    for name in _DIRECTORIES:
        directory = root / name
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    (root / "root").chmod(0o700)
    for name in _HOME:
        directory = root / "home/vcap" / name
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
        os.chown(directory, VCAP, VCAP)
    link(root / "app", "home/vcap/app")
    for name, target in (("var/run", "/run"), ("var/lock", "/run/lock")):
        link(root / name, target)


def link(path: Path, target: str) -> None:
    """Make the symbolic link `path`, replacing an empty directory or another link."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        path.rmdir()
    path.symlink_to(target)


def remove_tree(path: Path) -> None:
    """Delete a tree, if it is there."""
    shutil.rmtree(path, ignore_errors=not path.exists())
