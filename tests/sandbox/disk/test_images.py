"""Shared layer images: one mount for all, checked bytes, and owners that a user namespace can move."""

import hashlib
import os
import stat
import subprocess
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from paasd.config import DiskConfig
from paasd.sandbox import mounts
from paasd.sandbox.disk import (
    ImageDamaged,
    Images,
    LayerRefused,
    MountError,
    idmapped,
    loops_below,
    mksquashfs_arguments,
    open_images,
)
from paasd.sandbox.disk.probe import can_idmap, user_namespace

pytestmark = pytest.mark.root


def make_tree(root: Path) -> None:
    (root / "home/vcap/app").mkdir(parents=True)
    (root / "home/vcap/app/run.sh").write_text("#!/bin/sh\n")
    (root / "home/vcap/app/run.sh").chmod(0o755)
    (root / "home/vcap/app/big").write_bytes(os.urandom(300_000))
    (root / "home/vcap/app/link").symlink_to("run.sh")
    (root / "home/vcap/app/dangling").symlink_to("/nowhere")
    (root / "home/vcap/app/hard").hardlink_to(root / "home/vcap/app/big")
    (root / "home/vcap/app/name with space é").write_text("x")
    (root / "empty").mkdir(mode=0o700)


def pack(tree: Path, image: Path, *, keep_times: bool = True) -> Path:
    subprocess.run(mksquashfs_arguments(str(tree), str(image), keep_times=keep_times), check=True, capture_output=True)
    return image


@pytest.fixture
def image(place: Path, tmp_path: Path) -> Path:
    make_tree(tmp_path / "tree")
    made = pack(tmp_path / "tree", place / "made")
    return made.rename(place / hashlib.sha256(made.read_bytes()).hexdigest())


@pytest.fixture(params=["auto", "ext4"])
async def images(request: pytest.FixtureRequest, place: Path) -> AsyncIterator[Images]:
    config = DiskConfig(image_format=request.param)
    async with open_images(config, directory=place / "copies", run_dir=place / "run") as opened:
        yield opened
    # The next daemon counts nothing, so its sweep takes all.
    async with open_images(config, directory=place / "copies", run_dir=place / "run") as next_one:
        await next_one.sweep()
    assert loops_below(place) == {}
    assert mounts.mounted_below(place) == []


def listing(root: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *sorted(root.rglob("*"))):
        status = path.lstat()
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        times = None if path.is_dir() else int(status.st_mtime)
        found[str(path.relative_to(root))] = (stat.filemode(status.st_mode), times, content)
    return found


async def test_an_image_shows_the_tree_that_was_packed(images: Images, image: Path, tmp_path: Path):
    target = await images.mount(image)
    assert listing(target) == listing(tmp_path / "tree")
    assert {path.lstat().st_uid for path in (target, *target.rglob("*"))} == {2000}
    assert (target / "home/vcap/app/hard").stat().st_ino == (target / "home/vcap/app/big").stat().st_ino
    flags = os.statvfs(target).f_flag
    assert flags & os.ST_RDONLY
    assert flags & os.ST_NOSUID
    with pytest.raises(OSError, match="Read-only"):
        (target / "new").touch()


async def test_all_users_share_one_mount(images: Images, image: Path, place: Path):
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(images.mount, image)
    assert list(images.counted().values()) == [10]
    assert len(loops_below(place)) == 1
    for _ in range(9):
        await images.release(image)
    assert len(mounts.mounted_below(place)) == 1
    await images.release(image)
    assert mounts.mounted_below(place) == []
    assert loops_below(place) == {}
    await images.release(image)
    assert images.counted() == {}


async def test_an_image_can_be_given_to_a_block_of_uids(images: Images, image: Path):
    target = await images.mount(image)
    base = 1879048192 + 65536
    with user_namespace(base) as userns:
        fd = await trio.to_thread.run_sync(partial(idmapped, target, userns))
        try:
            moved = Path(f"/proc/self/fd/{fd}/home/vcap/app/run.sh")
            assert moved.stat().st_uid == base + 2000
            assert moved.read_text() == "#!/bin/sh\n"
        finally:
            os.close(fd)
    assert (target / "home/vcap/app/run.sh").stat().st_uid == 2000, "other containers see it as before"


async def test_a_running_container_keeps_an_image_that_was_released(images: Images, image: Path, place: Path):
    target = await images.mount(image)
    fd = idmapped(target, None)
    await images.release(image)
    assert mounts.mounted_below(place) == []
    assert Path(f"/proc/self/fd/{fd}/home/vcap/app/run.sh").exists()
    os.close(fd)
    with trio.fail_after(5):
        while loops_below(place):
            await trio.sleep(0.01)


async def test_damaged_bytes_are_refused(images: Images, image: Path, place: Path):
    await images.mount(image)
    await images.release(image)
    with image.open("r+b") as file:
        file.seek(120)
        file.write(b"damage")
    with pytest.raises(ImageDamaged, match=f"layer {image.name[:12]} is damaged.*restage"):
        await images.mount(image)
    assert images.counted() == {}
    assert loops_below(place) == {}
    other = place / "anything"
    other.write_bytes(b"no image at all" * 1000)
    with pytest.raises(ImageDamaged):
        await images.mount(other, "0" * 64)
    with pytest.raises(MountError, match="cannot mount anything as squashfs"):
        await images.mount(other)
    with pytest.raises(FileNotFoundError):
        await images.mount(place / ("0" * 64))


async def test_a_sweep_unmounts_what_a_former_daemon_used(place: Path, image: Path, tmp_path: Path):
    second = pack(tmp_path / "tree/home", place / "second")
    for kind in ("squashfs", "ext4"):
        config = DiskConfig(image_format=kind, image_copy_keep_s=0)
        async with open_images(config, directory=place / "copies", run_dir=place / "run") as former:
            kept, gone = await former.mount(image), await former.mount(second)
        async with open_images(config, directory=place / "copies", run_dir=place / "run") as images:
            assert await images.mount(image) == kept
            assert len(loops_below(place)) == 2, "it was mounted already"
            assert await images.sweep() == {gone.name}
            assert mounts.mounted_below(place) == [kept]
            await images.release(image)
            await images.sweep()
        assert list((place / "copies").iterdir()) == []


async def test_no_layer_lies_over_files_of_the_stack(images: Images, place: Path, tmp_path: Path):
    good = tmp_path / "good"
    for folder in ("home/vcap/app", "opt/toolchains/node-1"):
        (good / folder).mkdir(parents=True)
    await images.mount_layer(pack(good, place / "good"))
    for number, path in enumerate(
        ("usr/bin/mksquashfs", "etc/ld.so.preload", "home/other/x", "opt/paasd/buildpacks/x", "file")
    ):
        bad = tmp_path / str(number)
        (bad / "home/vcap").mkdir(parents=True)
        (bad / path).parent.mkdir(parents=True, exist_ok=True)
        (bad / path).write_text("mine")
        with pytest.raises(LayerRefused, match="stage the app anew"):
            await images.mount_layer(pack(bad, place / str(number)))
        assert list(images.counted().values()) == [1], path
    await images.release(place / "good")


async def test_a_layer_may_not_replace_a_directory_by_a_link(images: Images, place: Path, tmp_path: Path):
    for number, (link, target) in enumerate({"home": "/usr", "home/vcap": "../usr", "opt/toolchains": "/usr"}.items()):
        tree = tmp_path / str(number)
        (tree / link).parent.mkdir(parents=True)
        (tree / link).symlink_to(target)
        with pytest.raises(LayerRefused):
            await images.mount_layer(pack(tree, place / str(number)))


async def test_zeros_of_a_tiny_image_are_not_copied_without_end(place: Path, tmp_path: Path):
    config = DiskConfig(image_format="ext4", image_copy_limit_mb=16)
    async with open_images(config, directory=place / "copies", run_dir=place / "run") as images:
        for size_mb, name in ((4, "fits"), (20, "sparse")):
            tree = tmp_path / name
            (tree / "home/vcap").mkdir(parents=True)
            with (tree / "home/vcap/zeros").open("wb") as file:
                file.truncate(size_mb * 1024 * 1024)
            pack(tree, place / name)
        await images.mount(place / "fits")
        await images.release(place / "fits")
        with pytest.raises(MountError, match="image_copy_limit_mb"):
            await images.mount(place / "sparse")
    assert loops_below(place) == {}


async def test_a_copy_stays_for_the_next_start_and_goes_when_it_was_long_unused(place: Path, image: Path):
    now = [0.0]
    config = DiskConfig(image_format="ext4", image_copy_keep_s=100)
    for later, kept in ((0, 1), (99, 1), (150, 1), (260, 0)):
        now[0] = 1_000_000_000.0 + later
        async with open_images(
            config, directory=place / "copies", run_dir=place / "run", clock=lambda: now[0]
        ) as images:
            await images.sweep()
            assert len(list((place / "copies").iterdir())) == (0 if later == 0 else kept), later
            if later < 100:
                await images.mount(image)
                await images.release(image)


async def test_equal_trees_give_equal_bytes_where_times_are_not_kept(tmp_path: Path):
    make_tree(tmp_path / "tree")
    first = pack(tmp_path / "tree", tmp_path / "first", keep_times=False).read_bytes()
    kept = pack(tmp_path / "tree", tmp_path / "kept").read_bytes()
    for path in (tmp_path / "tree").rglob("*"):
        os.utime(path, (1_600_000_000, 1_600_000_000), follow_symlinks=False)
    assert pack(tmp_path / "tree", tmp_path / "second", keep_times=False).read_bytes() == first
    assert pack(tmp_path / "tree", tmp_path / "changed").read_bytes() != kept


async def test_the_kernel_is_asked_whether_squashfs_can_be_idmapped(place: Path):
    async with open_images(DiskConfig(), directory=place / "copies", run_dir=place / "run") as images:
        release = tuple(int(part) for part in os.uname().release.split(".")[:2])
        assert images.direct == (release >= (6, 2))
    assert not can_idmap(Path("/proc")), "the probe can say no"
    assert loops_below(place) == {}
    assert list((place / "run").iterdir()) == []
