"""The lifecycle run as a plain program in directories of its own, as the sandbox runs it, without the sandbox."""

import json
import subprocess
from pathlib import Path
from typing import Any

import paasd
from paasd.buildpacks.catalogue import Catalogue, load_catalogue
from paasd.buildpacks.interface import Layout, Project

_ENTRY = "import sys; sys.path.insert(0, sys.argv.pop(1)); from buildpacks.__main__ import main; sys.exit(main(sys.argv[1:]))"  # noqa: E501
_PACKAGES = str(Path(paasd.__file__).parent)


class Plain:
    """One staging directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.home = root / "vcap"
        self.output = ""
        (root / "tmp").mkdir(parents=True)

    @property
    def app(self) -> Path:
        return self.home / "app"

    @property
    def deps(self) -> Path:
        return self.home / "deps"

    def stage(self, files: dict[str, str], **request: Any) -> int:
        """Detect and build; the exit code of the phase that failed, else 0."""
        source = self.root / "source"
        for name, content in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
        subprocess.run(["tar", "-C", str(source), "-czf", str(self.root / "package"), "."], check=True)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LANG": "C.UTF-8", **request.pop("env", {})}
        asked = {
            "package": str(self.root / "package"),
            "buildpacks": [],
            "env": env,
            "stack_identity": "test",
            "arch": "x86_64",
            "today": "2026-01-01",
            "catalogue": load_catalogue().to_json(),
            "home": str(self.home),
            "temporary": str(self.root / "tmp"),
            **request,
        }
        (self.root / "request.json").write_text(json.dumps(asked))
        for phase in ("detect", "build"):
            command = ["/usr/bin/python3", "-I", "-B", "-c", _ENTRY, _PACKAGES, phase, str(self.root / "request.json")]
            done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            self.output += done.stdout + done.stderr
            if done.returncode:
                return done.returncode
        return 0

    def read(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.home / "staging" / f"{name}.json").read_text()))


def project(app: Path, files: dict[str, str], catalogue: Catalogue | None = None, **changes: Any) -> Project:
    """Files on disk as a buildpack's detection sees them."""
    layout = Layout(app.parent)
    layout.app.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = layout.app / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    settings: dict[str, Any] = {
        "env": {},
        "stack": "test",
        "python_version": "3.11.2",
        "today": "2026-01-01",
        **changes,
    }
    return Project(layout=layout, catalogue=catalogue or load_catalogue(), **settings)
