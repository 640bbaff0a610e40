"""Apps that bring what they run: nothing is built, the Procfile or the manifest's command says how to start."""

import json
from pathlib import Path

from .failure import StagingFailure
from .interface import Plan, Project, Step


class Binary:
    """Named by the developer, or found by a Procfile when no other buildpack knows the app."""

    name = "binary"

    def detect(self, project: Project) -> str | None:
        return "binary" if project.has("Procfile") else None

    def plan(self, project: Project) -> Plan:
        return Plan(version="1")

    def supply(self, step: Step) -> None:
        step.deps_dir.mkdir(parents=True, exist_ok=True)

    def finalize(self, step: Step) -> None:
        """A wrong architecture is a common mistake and shows only at start; say it now."""
        step.title("Binary app: nothing to build")
        for path in sorted(step.app.iterdir()):
            if path.is_file() and not path.is_symlink():
                _check_program(path, step)


def _check_program(path: Path, step: Step) -> None:
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF":
        return
    machines = {"x86_64": 62, "aarch64": 183}
    wanted = machines.get(step.project.arch)
    found = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    if wanted is not None and found != wanted and path.suffix != ".so":
        built_for = {number: name for name, number in machines.items()}.get(found, f"machine {found}")
        raise StagingFailure(
            "binary",
            f"{json.dumps(path.name)} is built for {built_for}, this node is {step.project.arch}",
            f"build it for Linux on {step.project.arch} (for Go: GOOS=linux GOARCH=amd64)",
        )
    if not path.stat().st_mode & 0o100:
        path.chmod(0o755)
        step.log(f"{path.name} is a program without its exec bit; set it")
