"""Stacks: what containers start from. The host stack is tried as a root; building is tried up to the mirror."""

import stat
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paasd.config import DiskConfig
from paasd.errors import Unprocessable
from paasd.sandbox import mounts
from paasd.sandbox.disk import (
    StackBuildFailed,
    StackMissing,
    Stacks,
    debian_stack,
    host_stack,
    loops_below,
    open_images,
    open_stacks,
)

pytestmark = pytest.mark.root


@pytest.fixture
async def stacks(place: Path) -> AsyncIterator[Stacks]:
    # Nothing listens on port 9, so whoever tries to install something fails at once.
    config = DiskConfig(stack_mirror="http://127.0.0.1:9/debian")
    async with (
        open_images(config, directory=place / "copies", run_dir=place / "run") as images,
        open_stacks(config, directory=place / "stacks", run_dir=place / "run-stacks", images=images) as opened,
    ):
        yield opened
    assert loops_below(place) == {}
    assert mounts.mounted_below(place) == []


def inside(root: Path, binds: tuple[tuple[Path, str], ...], script: str) -> str:
    """Output of a shell script run with the stack as its root, in a mount namespace that ends with it."""
    lines = ["set -e", *(f"mount --bind -o ro {source} {root}{target}" for source, target in binds)]
    lines += [f"mount -t proc proc {root}/proc", f"exec chroot --userspec=2000:2000 {root} /bin/sh -c '{script}'"]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(lines)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_programs_run_in_the_host_stack(stacks: Stacks):
    root = await stacks.prepare("host")
    script = (
        'id -un; python3 -c "import ssl; print(len(ssl.create_default_context().get_ca_certs()) > 50)"; cd /app; pwd -P'
    )
    assert inside(root.lower, root.binds, script).split() == ["vcap", "True", "/home/vcap/app"]
    assert await stacks.prepare("host") is root


async def test_the_host_stack_shows_nothing_of_the_operator(stacks: Stacks):
    root = await stacks.prepare("host")
    script = "ls -A /usr/local/bin /home /mnt /srv /opt /var/log; ls /etc/ssh /etc/apt 2>&1 | grep -c cannot; id root"
    shown = inside(root.lower, root.binds, script)
    assert "vcap" in shown
    assert list(Path("/usr/local/bin").iterdir()), "the host has something there"
    assert [line for line in shown.splitlines() if line and not line.startswith("/")][:1] == ["vcap"]
    assert "2\n" in shown
    for path in root.lower.rglob("*"):
        if not path.is_symlink() and path.name not in ("shadow", "root"):
            assert path.stat().st_mode & stat.S_IROTH, path
    assert "root:*:" in (root.lower / "etc/shadow").read_text()


async def test_only_vcap_may_write_in_the_home_and_everybody_in_tmp(stacks: Stacks):
    root = await stacks.prepare("host")
    for name in ("app", "deps", "tmp", "profile.d", "logs"):
        assert (root.lower / "home/vcap" / name).stat().st_uid == 2000
    owners = {p.lstat().st_uid for p in root.lower.rglob("*") if "home/vcap" not in str(p)}
    assert owners == {0}
    assert stat.S_IMODE((root.lower / "tmp").stat().st_mode) == 0o1777


def fake_host(root: Path) -> None:
    for name in (
        "usr/bin",
        "usr/lib",
        "usr/share/ca",
        "usr/local/share",
        "etc/ssl/certs",
        "etc/alternatives",
        "var/lib/dpkg",
    ):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib"):
        (root / name).symlink_to(f"usr/{name}")
    (root / "var/lib/dpkg/status").write_text("Package: a\nVersion: 1\n")
    (root / "usr/share/ca/public.pem").write_text("public")
    (root / "usr/local/share/own.pem").write_text("own")
    (root / "etc/ssl/certs/public.pem").symlink_to("../../../usr/share/ca/public.pem")
    (root / "etc/ssl/certs/own.pem").symlink_to(root / "usr/local/share/own.pem")
    (root / "etc/ssl/certs/gone.pem").symlink_to("nothing.pem")
    (root / "etc/ssl/certs/same.pem").symlink_to("public.pem")
    (root / "etc/ssl/certs/key.pem").write_text("secret")
    (root / "etc/ssl/certs/key.pem").chmod(0o640)
    (root / "etc/secret.conf").write_text("secret")
    (root / "etc/passwd").write_text("operator:x:1000:1000::/home/operator:/bin/bash\n")


async def test_of_etc_only_what_is_listed_and_public_is_copied(tmp_path: Path):
    host, skeleton = tmp_path / "host", tmp_path / "skeleton"
    fake_host(host)
    host_stack.build_skeleton(skeleton, host)
    certs = skeleton / "etc/ssl/certs"
    assert sorted(path.name for path in certs.iterdir()) == ["own.pem", "public.pem", "same.pem"]
    assert certs.joinpath("public.pem").is_symlink(), "seen inside through /usr"
    assert certs.joinpath("own.pem").read_text() == "own", "/usr/local is not there, so its content is"
    assert not (skeleton / "etc/secret.conf").exists()
    assert "operator" not in (skeleton / "etc/passwd").read_text()
    assert [target for _, target in host_stack.binds(host)] == ["/usr/bin", "/usr/lib", "/usr/share"]


async def test_the_digest_follows_packages_and_certificates(tmp_path: Path):
    fake_host(tmp_path)
    first = host_stack.digest(tmp_path)
    assert host_stack.digest(tmp_path) == first
    (tmp_path / "var/lib/dpkg/status").write_text("Package: a\nVersion: 2\n")
    second = host_stack.digest(tmp_path)
    (tmp_path / "etc/ssl/certs/new.pem").write_text("new")
    assert len({first, second, host_stack.digest(tmp_path)}) == 3


async def test_an_unbuilt_stack_names_the_command(stacks: Stacks):
    with pytest.raises(StackMissing, match="run `paasd stack build debian12`"):
        await stacks.prepare("cflinuxfs4")
    with pytest.raises(Unprocessable, match="unknown stack 'windows': this platform has host, debian12, cflinuxfs4"):
        await stacks.prepare("windows")
    with pytest.raises(Unprocessable, match="needs no building"):
        await stacks.build("host", print)
    assert stacks.names() == ("host",)


async def test_a_failed_build_says_why_and_leaves_nothing(stacks: Stacks, place: Path):
    lines: list[str] = []
    with pytest.raises(StackBuildFailed, match=r"127\.0\.0\.1"):
        await stacks.build("debian12", lines.append, small=True)
    assert any("installing" in line for line in lines)
    assert list((place / "stacks").iterdir()) == []


async def test_a_cancelled_build_leaves_no_process_and_no_file(stacks: Stacks, place: Path):
    started = trio.Event()

    def progress(line: str) -> None:
        if line.startswith("I:"):
            started.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stacks.build, "debian12", progress)
        with trio.fail_after(20):
            await started.wait()
        nursery.cancel_scope.cancel()
    assert list((place / "stacks").iterdir()) == []
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(str(place).encode() in command for command in commands)


async def test_a_built_stack_is_mounted_by_its_hash_and_not_built_again(
    stacks: Stacks, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With a tiny image in the place of a real one; the real build is the slow test below."""
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/os-release").write_text("ID=debian\n")
    image = place / "stacks/image"
    await trio.run_process(
        ["mksquashfs", str(tmp_path / "root"), str(image), "-quiet", "-no-progress"], capture_stdout=True
    )
    inputs = debian_stack.inputs_of(debian_stack.load_definition("debian12"), small=True)
    manifest = debian_stack._store("debian12", place / "stacks", image, inputs, True)
    root = await stacks.prepare("cflinuxfs4")
    assert (root.name, root.digest, root.binds) == ("debian12", manifest.sha256, ())
    assert (root.lower / "etc/os-release").read_text() == "ID=debian\n"
    assert stacks.names() == ("cflinuxfs4", "debian12", "host")
    assert await stacks.build("debian12", print, small=True) == manifest
    monkeypatch.setattr("paasd.programs.DIRECTORIES", (str(tmp_path),))
    with pytest.raises(StackBuildFailed, match="apt-get install mmdebstrap"):
        await stacks.build("debian12", print, small=False)
    assert (await stacks.prepare("debian12")).digest == manifest.sha256, "a failed build changes nothing"
    await stacks.release()
    (place / "stacks" / manifest.sha256).unlink()
    with pytest.raises(StackMissing, match="is gone"):
        await stacks.prepare("debian12")
    (place / "stacks/debian12.json").unlink()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ["http://deb.debian.org/debian bookworm", "debian-security bookworm-security"]),
        (
            {"sources.list": "deb [signed-by=/k] https://mirror.example/debian trixie main\n"},
            ["https://mirror.example/debian "],
        ),
        (
            {
                "sources.list.d/d.sources": "Types: deb\n# URIs: http://old.example/debian\nURIs: http://m.example/debian/\n"
            },
            ["deb http://m.example/debian bookworm main"],
        ),
        (
            {"sources.list": "deb http://s.example/debian-security x main\ndeb http://ppa.example/ubuntu x main\n"},
            ["http://deb.debian.org/debian bookworm", "deb http://s.example/debian-security bookworm-security main"],
        ),
    ],
)
async def test_a_stack_comes_from_where_the_host_itself_installs(
    tmp_path: Path, files: dict[str, str], expected: list[str]
):
    (tmp_path / "sources.list.d").mkdir()
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    made = debian_stack.sources(debian_stack.load_definition("debian12"), "", tmp_path)
    for part in expected:
        assert part in made
    assert "old.example" not in made
    assert "ubuntu" not in made


async def test_a_configured_mirror_is_the_only_one_asked(tmp_path: Path):
    made = debian_stack.sources(debian_stack.load_definition("debian12"), "http://m.example/debian", tmp_path)
    assert {line.split()[1] for line in made.splitlines()} == {"http://m.example/debian"}


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_small_debian_stack_is_built_and_runs(place: Path):
    config = DiskConfig()
    async with (
        open_images(config, directory=place / "copies", run_dir=place / "run") as images,
        open_stacks(config, directory=place / "stacks", run_dir=place / "run-stacks", images=images) as stacks,
    ):
        await stacks.build("cflinuxfs4", print, small=True)
        root = await stacks.prepare("debian12")
        assert root.binds == ()
        script = "id -un; readlink /app; for p in python3 git curl jq mksquashfs nginx; do command -v $p; done"
        shown = inside(root.lower, (), script).split()
        assert shown[:2] == ["vcap", "home/vcap/app"]
        assert len(shown) == 8
        assert (root.lower / "etc/resolv.conf").read_text().startswith("nameserver 169.254.1.1")
        before = (place / "stacks" / root.digest).stat()
        await stacks.build("debian12", print, small=True)
        assert (place / "stacks" / root.digest).stat() == before, "built once"
    for path in (place / "stacks").iterdir():
        path.unlink()
