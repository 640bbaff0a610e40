"""Programs of the host that run as root are those of the system, whatever the PATH of whoever started paasd says."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import paasd
from paasd.programs import DIRECTORIES, PACKAGES, ProgramMissing, find_program, in_full, system_environment
from paasd.sandbox.disk.tools import run_tool
from paasd.stager.toolchains import _run

STARTERS = {"run", "Popen", "run_process", "open_process", "check_output", "check_call", "call"}
SOURCES = Path(paasd.__file__).parent


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's own mksquashfs and dpkg come first in PATH; each leaves a mark when it is run."""
    mark = tmp_path / "was-run"
    for name in ("mksquashfs", "dpkg"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho $0 > {mark}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return mark


async def test_a_program_of_that_name_in_path_is_not_run(planted: Path, tmp_path: Path) -> None:
    run_tool(["mksquashfs", "-version"])
    await _run(["dpkg", "--version"], tmp_path, "look")
    assert not planted.exists()
    run_tool(["env", "mksquashfs", "-version"])
    assert not planted.exists(), "nor is it by a program that paasd runs"


def test_what_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    (tmp_path / "mksquashfs").write_text("not a program")
    with pytest.raises(ProgramMissing, match="mksquashfs is not installed: apt-get install squashfs-tools"):
        find_program("mksquashfs", (str(tmp_path),))
    (tmp_path / "mksquashfs").chmod(0o755)
    assert find_program("mksquashfs", (str(tmp_path),)) == str(tmp_path / "mksquashfs")


def test_commands_begin_with_a_path_and_the_environment_names_the_system_s_directories() -> None:
    assert in_full(["/opt/x", "y"]) == ["/opt/x", "y"]
    assert Path(in_full(["mksquashfs", "y"])[0]).parent in map(Path, DIRECTORIES)
    assert system_environment()["PATH"].split(":") == list(DIRECTORIES)
    assert "SOURCE_DATE_EPOCH" not in system_environment()


def bare_commands(path: Path) -> Iterator[str]:
    """Places that start a program by a bare name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in STARTERS:
            match node.args[:1]:
                case [ast.List(elts=[ast.Constant(value=str(name)), *_])] if not name.startswith("/"):
                    yield f"{path.relative_to(SOURCES)}: {name}"


def test_nothing_is_started_by_a_bare_name() -> None:
    """What runs inside the sandbox (`buildpacks`) and as whoever types a command (`cli`) goes by its own PATH."""
    files = [path for path in SOURCES.rglob("*.py") if path.relative_to(SOURCES).parts[0] not in ("buildpacks", "cli")]
    assert len(files) > 400
    assert [place for path in files for place in bare_commands(path)] == []
    assert set(PACKAGES) >= {"mksquashfs", "unsquashfs", "mkfs.ext4", "unshare", "dpkg", "apt-get", "mmdebstrap"}
