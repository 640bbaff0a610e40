"""Uploaded droplets: Cloud Foundry's form and the smallest one are taken, what is odd is refused by its name."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from paasd.buildpacks.droplet import unpack_droplet
from paasd.buildpacks.failure import StagingFailure
from paasd.buildpacks.interface import Layout

from .test_archive import member, tar_with

PROCFILE = (member("./app/Procfile"), b"web: run\n")


def take(root: Path, bits: bytes, **limits: int) -> tuple[dict[str, Any], Path]:
    package, home = root / "package", root / "vcap"
    package.write_bytes(bits)
    home.mkdir()
    request = {"package": str(package), "limits": {"entries": 50, "total_bytes": 100_000, **limits}}
    return unpack_droplet(request, Layout(home)), home


def info(**content: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member("./staging_info.yml"), json.dumps(content).encode()


def test_an_app_and_a_procfile_are_a_droplet(tmp_path: Path) -> None:
    result, home = take(tmp_path, tar_with(PROCFILE))
    assert result["process_types"] == {"web": "run"}
    assert json.loads((home / "staging_info.yml").read_text())["start_command"] == "run"


def test_process_types_sidecars_and_toolchains_come_from_staging_info(tmp_path: Path) -> None:
    sidecar = {"name": "s", "command": "c", "process_types": ["web"]}
    ours = {"process_types": {"web": "two", "worker": "w"}, "toolchains": [["node", "22"]], "sidecars": [sidecar]}
    content = info(detected_buildpack="x", start_command="one", paasd=ours)
    result, _ = take(tmp_path, tar_with((member("app/x"), b"x"), content))
    assert result["process_types"] == {"web": "two", "worker": "w"}
    assert (result["toolchains"], result["sidecars"]) == ([["node", "22"]], [sidecar])


def test_a_staging_info_in_yaml_as_cloud_foundrys_own_is_read(tmp_path: Path) -> None:
    yaml = b"detected_buildpack: Ruby\nstart_command: bundle exec rackup\n"
    result, _ = take(tmp_path, tar_with((member("app/x"), b"x"), (member("staging_info.yml"), yaml)))
    assert result["process_types"] == {"web": "bundle exec rackup"}


def test_links_of_installed_dependencies_are_kept_and_hard_links_are(tmp_path: Path) -> None:
    _, home = take(
        tmp_path,
        tar_with(
            PROCFILE,
            (member("./deps/0/bin/python", tarfile.SYMTYPE, "/usr/bin/python3"), b""),
            (member("./app/out", tarfile.SYMTYPE, "../deps/0"), b""),
            (member("./deps/0/a", mode=0o755), b"same"),
            (member("./deps/0/b", tarfile.LNKTYPE, "./deps/0/a"), b""),
        ),
    )
    assert str((home / "deps/0/bin/python").readlink()) == "/usr/bin/python3"
    assert str((home / "app/out").readlink()) == "../deps/0"
    assert (home / "deps/0/a").samefile(home / "deps/0/b")


def test_what_does_not_belong_to_a_droplet_is_passed_over(tmp_path: Path) -> None:
    others = [(member(name), b"x") for name in ("tmp/x", "logs/y", "staging/request.json", ".ssh/keys")]
    _, home = take(tmp_path, tar_with(PROCFILE, *others))
    assert sorted(path.name for path in home.iterdir()) == ["app", "deps", "profile.d", "staging_info.yml"]


DEVICE = member("app/null", tarfile.CHRTYPE)
REFUSED: dict[str, tuple[bytes, str]] = {
    "traversal": (tar_with(PROCFILE, (member("app/../../evil"), b"x")), "'app/../../evil' leads outside the droplet"),
    "absolute": (tar_with(PROCFILE, (member("/etc/evil"), b"x")), "'/etc/evil' has an absolute name"),
    "device": (tar_with(PROCFILE, (DEVICE, b"")), "'app/null' is a character device"),
    "fifo": (tar_with(PROCFILE, (member("app/pipe", tarfile.FIFOTYPE), b"")), "'app/pipe' is a fifo"),
    "app is a link": (tar_with((member("app", tarfile.SYMTYPE, "/etc"), b"")), "'app' is a link"),
    "app is a file": (tar_with((member("app"), b"x")), "'app' is a file"),
    "hard link out": (
        tar_with(PROCFILE, (member("app/x", tarfile.LNKTYPE, "/etc/shadow"), b"")),
        "hard link 'app/x' does not lead to an earlier file of the droplet, but to '/etc/shadow'",
    ),
    "hard link to a link": (
        tar_with(
            PROCFILE,
            (member("app/l", tarfile.SYMTYPE, "/etc/shadow"), b""),
            (member("app/x", tarfile.LNKTYPE, "app/l"), b""),
        ),
        "hard link 'app/x' does not lead",
    ),
    "through a link": (
        tar_with(PROCFILE, (member("app/l", tarfile.SYMTYPE, "/tmp"), b""), (member("app/l/x"), b"x")),
        "'app/l/x' lies below 'app/l', which is not a directory",
    ),
    "too large": (tar_with(PROCFILE, (member("app/big"), bytes(200_000))), "the droplet unpacks to more than 0 MB"),
    "too many": (
        tar_with(PROCFILE, *((member(f"app/{number}"), b"") for number in range(60))),
        "the droplet has more than 50 entries",
    ),
    "no app": (tar_with((member("Procfile"), b"web: run")), "the droplet has nothing in app/"),
    "truncated": (tar_with(PROCFILE, (member("app/x"), bytes(range(256)) * 300))[:400], "truncated"),
    "no archive": (b"<html>moved</html>", "not a readable tar.gz"),
    "empty": (b"", "not a readable tar.gz"),
    "info of another form": (tar_with(PROCFILE, (member("staging_info.yml"), b"[1]")), "an unexpected form"),
    "command of another form": (tar_with(PROCFILE, info(paasd={"process_types": {"x": 5}})), "an unexpected form"),
    "bad process type": (tar_with(PROCFILE, info(paasd={"process_types": {"a/b": "x"}})), "process type 'a/b'"),
    "deep info": (tar_with(PROCFILE, (member("staging_info.yml"), b"[" * 50_000)), "staging_info.yml is not"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_odd_droplets_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    bits, expected = REFUSED[name]
    with pytest.raises(StagingFailure) as refused:
        take(tmp_path, bits)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "evil").exists()


def test_a_zip_is_no_droplet(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app/Procfile", "web: run\n")
    with pytest.raises(StagingFailure, match=r"not a readable tar\.gz"):
        take(tmp_path, packed.getvalue())
