"""Third-party buildpacks: a directory, a zip or a Git address, run through Cloud Foundry's programs in bin/."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urldefrag, urlsplit

from .archive import ArchiveLimits, flatten_single_directory, unpack
from .failure import DETECT_FAILED, StagingFailure
from .hashing import xxh64
from .interface import Layout, run_logged


@dataclass(frozen=True)
class External:
    """A buildpack of someone else, as a private writable copy below `root`."""

    name: str
    root: Path

    def has(self, program: str) -> bool:
        return (self.root / "bin" / program).exists()

    def run(self, program: str, *arguments: Path | str, env: Mapping[str, str], cwd: Path) -> int:
        """Run bin/<program> with its output in the log."""
        path = self.root / "bin" / program
        if path.exists() and not os.access(path, os.X_OK):
            print(f"       bin/{program} of {self.name} is not executable; set its mode to 755", flush=True)
            return 126
        code, _ = run_logged([str(path), *map(str, arguments)], env=env, cwd=cwd, indent="")
        return code

    def detect(self, app: Path, env: Mapping[str, str]) -> str | None:
        """Name shown by bin/detect when it exits 0; a buildpack without bin/detect never detects."""
        if not self.has("detect"):
            return None
        try:
            done = subprocess.run(
                [str(self.root / "bin" / "detect"), str(app)],
                env=dict(env),
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                check=False,
            )
        except OSError as error:
            print(f"       bin/detect of {self.name} cannot be run: {error.strerror}", flush=True)
            return None
        return done.stdout[:4096].decode("utf-8", "replace").strip() if done.returncode == 0 else None


def fetch(name: str, source: str, layout: Layout, env: Mapping[str, str]) -> External:
    """Bring a buildpack into its own directory. `source`: a path or an address. Raises StagingFailure."""
    root = layout.buildpacks / xxh64(name.encode())
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    if urlsplit(source).scheme in ("http", "https", "git", "ssh", "file"):
        _download(name, source, root, layout, env)
    elif Path(source).is_dir():
        shutil.copytree(source, root, symlinks=True)
    elif Path(source).is_file():
        _extract(Path(source), root)
    else:
        raise StagingFailure("detect", f"buildpack {name!r} is not there", code=DETECT_FAILED)
    if not (root / "bin").is_dir():
        raise StagingFailure("detect", f"buildpack {name!r} has no bin/ directory", "name its root", code=DETECT_FAILED)
    return External(name, root)


def _extract(archive: Path, root: Path) -> None:
    root.mkdir()
    unpack(archive, root, ArchiveLimits())
    if not (root / "bin").is_dir():
        flatten_single_directory(root)


def _download(name: str, source: str, root: Path, layout: Layout, env: Mapping[str, str]) -> None:
    address, fragment = urldefrag(source)
    advice = "check the address, and that the operator allows its host under [staging]"
    if urlsplit(address).path.endswith(".zip"):
        target = layout.temporary / "buildpackdownloads" / (root.name + ".zip")
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["curl", "-fsSL", "--retry", "2", "--max-time", "300", "-o", str(target), "--", address]
        code, tail = run_logged(command, env=env, cwd=layout.temporary)
        if code:
            raise StagingFailure(
                "detect", f"cannot download buildpack {name}: {_last(tail)}", advice, code=DETECT_FAILED
            )
        _extract(target, root)
        return
    branch = ["--branch", fragment] if fragment else []
    command = ["git", "clone", "--quiet", "--depth", "1", "--recursive", *branch, "--", address, str(root)]
    code, tail = run_logged(command, env={**env, "GIT_TERMINAL_PROMPT": "0"}, cwd=layout.temporary)
    if code:
        raise StagingFailure("detect", f"cannot clone buildpack {name}: {_last(tail)}", advice, code=DETECT_FAILED)


def _last(lines: list[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")
