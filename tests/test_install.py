"""What contrib/install leaves on a machine beside /opt/paasd, tried below a folder."""

import re
import subprocess
from pathlib import Path

CONTRIB = Path(__file__).parent.parent / "contrib"
PROGRAM = "/opt/paasd/bin/paasd"


def install_files(root: Path) -> str:
    """What it says."""
    script = f'set -euo pipefail; . {CONTRIB}/lib.sh; install_files "$1"'
    done = subprocess.run(["bash", "-c", script, "bash", str(root)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_is_found_by_its_bare_name_also_after_an_upgrade(tmp_path: Path) -> None:
    assert install_files(tmp_path) == install_files(tmp_path) == ""
    link = tmp_path / "usr/local/bin/paasd"
    assert str(link.readlink()) == PROGRAM
    assert [path.name for path in link.parent.iterdir()] == ["paasd"]


def test_the_units_start_what_is_installed(tmp_path: Path) -> None:
    install_files(tmp_path)
    started = set()
    for unit in CONTRIB.joinpath("systemd").glob("*.service"):
        text = (tmp_path / "etc/systemd/system" / unit.name).read_text()
        started |= set(re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE))
    assert started == {PROGRAM, "/usr/lib/paasd/holder"}
    assert (tmp_path / "usr/lib/paasd/holder").stat().st_mode & 0o111


def test_what_somebody_else_calls_paasd_stays_and_is_said(tmp_path: Path) -> None:
    link = tmp_path / "usr/local/bin/paasd"
    link.parent.mkdir(parents=True)
    link.write_text("theirs")
    assert f"{link} is somebody else's" in install_files(tmp_path)
    assert link.read_text() == "theirs"
    link.unlink()
    link.symlink_to("gone")
    assert PROGRAM in install_files(tmp_path)
    assert str(link.readlink()) == "gone"
