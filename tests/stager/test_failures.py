"""Builds that fail say which step, why, and what to do."""

import hashlib
import os

import pytest

from paasd.config import StagingConfig

from .world import MIB, World, archive, seed_blob_quota

pytestmark = pytest.mark.root

BUILDPACK = {"Procfile": "web: true\n", "package.json": "{}"}


def python(requirements: str, **files: str) -> dict[str, str | bytes]:
    return {"requirements.txt": requirements, "Procfile": "web: gunicorn app:app\n", **files}


CASES: list[tuple[dict[str, str | bytes], list[str], list[str]]] = [
    ({"notes.txt": "hello"}, [], ["NoAppDetectedError", "notes.txt", "requirements.txt"]),
    ({"notes.txt": "hello"}, ["cobol_buildpack"], ["NoAppDetectedError", "cobol_buildpack", "python"]),
    (python("no-such-package-zz9==1.0\n"), [], ["BuildpackCompileFailed", "no-such-package-zz9", "package index"]),
    (python("itsdangerous==99.99\n"), [], ["BuildpackCompileFailed", "itsdangerous==99.99"]),
    (python("itsdangerous\n", **{"runtime.txt": "python-2.7.18"}), [], ["runtime.txt", "2.7.18", "this node has 3."]),
    (python("-r missing.txt\n"), [], ["missing.txt", "not there"]),
    (python("x @ git+https://git.invalid/x.git\n"), [], ["BuildpackCompileFailed", "dependency 'x'", "git.invalid"]),
    ({"package.json": '{"dependencies": {"left": "git+https://git.invalid/left.git"}}', "server.js": ""}, [],
     ["dependency 'left'", "https://git.invalid/left.git", "Git", "allow git.invalid under [staging]"]),
    ({"package.json": '{"scripts": {"build": "node x.js"}}', "x.js": "throw new Error('no page has a title')"}, [],
     ["BuildpackCompileFailed", "script 'build' failed", "no page has a title"]),
    ({"pyproject.toml": '[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.99"\n'}, [],
     ["pyproject.toml asks for Python >=3.99", "this node has 3.", "[[staging.toolchains]]"]),
    ({"package.json": "{not json"}, [], ["package.json is not valid JSON"]),
    ({"package.json": '{"engines": {"node": "12.x"}}', "server.js": ""}, [], ["12.x", "this node has 20."]),
    ({"Staticfile": "root: dist\n", "index.html": "x"}, [], ["root 'dist'", "not a directory"]),
    ({"Staticfile": "status_codes:\n  404: /a b;{\n"}, [], ["nginx refuses"]),
    ({"Procfile": "web\n"}, [], ["Procfile", "type: command"]),
    ({"requirements.txt": "", "main.py": "import flask\napp = flask.Flask(__name__)\n"}, [], ["gunicorn main:app"]),
]  # fmt: skip


async def test_each_mistake_is_named_with_its_fix(world: World) -> None:
    async with world.staging():
        for number, (files, buildpacks, expected) in enumerate(CASES):
            name = await world.app(f"app-{number}")
            error = await world.refused(name, files, buildpacks=buildpacks)
            missing = [text for text in expected if text not in error]
            assert not missing, f"{missing} not in: {error}"
            assert any(error in line for line in world.lines(name))
            assert "\n" not in error


async def test_a_package_without_its_lock_in_step_is_refused_by_npm_in_one_sentence(world: World) -> None:
    lock = '{"name": "a", "lockfileVersion": 3, "packages": {"": {"name": "a"}}}'
    manifest = '{"name": "a", "dependencies": {"ms": "2.1.3"}, "scripts": {"start": "node ."}}'
    async with world.staging():
        await world.app("app")
        error = await world.refused("app", {"package.json": manifest, "package-lock.json": lock})
        assert "the lock file does not match package.json" in error


async def test_a_truncated_upload_is_said_to_be_one(world: World) -> None:
    bits = archive({"Procfile": "web: true\n", "data": b"x" * 300_000})
    async with world.staging():
        await world.app("app")
        assert "truncated" in await world.refused("app", bits[: len(bits) // 2])


def buildpack(script: str) -> dict[str, str | bytes]:
    """A Node.js app whose build runs a script of ours: the way in for a hostile build."""
    return {
        "package.json": '{"name": "a", "scripts": {"build": "sh ./build.sh", "start": "node ."}}',
        "build.sh": script,
    }


async def test_what_a_quota_has_no_room_for_is_built_but_never_stored(world: World) -> None:
    async with world.staging():
        await world.app("app")
        toolchains = world.blobs.stored()
        await world.database.write(seed_blob_quota, 4)
        bits = archive({"Procfile": "web: true\n", "data": os.urandom(3 * MIB)})
        assert "total_blobs_in_mb organization quota exceeded" in await world.refused("app", bits)
        package = hashlib.sha256(bits).hexdigest()
        assert sorted(world.blobs.stored()) == sorted([*toolchains, package])
        small = archive({"Procfile": "web: true\n", "data": b"x"})
        assert world.blobs.spend("org", "0" * 64, 12 * MIB, 4 * MIB, own=False)
        assert world.blobs.spend("org", package, 3 * MIB, 4 * MIB, own=True), "it takes no more of the disk"
        assert "blobs.uploads_per_day" in await world.refused("app", small)
        assert sorted(world.blobs.stored()) == sorted([*toolchains, package, hashlib.sha256(small).hexdigest()])


async def test_a_build_that_hangs_is_ended_by_its_time_limit(world: World) -> None:
    async with world.staging(StagingConfig(timeout_s=10)):
        await world.app("app")
        error = await world.refused("app", buildpack("sleep 1000"))
        assert error.startswith("StagingTimeExpired")
        assert not world.sandbox.containers


async def test_a_build_that_eats_memory_forks_without_end_or_fills_its_disk_fails_alone(world: World) -> None:
    async with world.staging(StagingConfig(timeout_s=30)):
        await world.app("memory")
        await world.app("forks")
        await world.app("disk")
        eat = "python3 -c 'x = bytearray(900 << 20)'"
        assert "ran out of memory (256 MB)" in await world.refused("memory", buildpack(eat), memory_mb=256)
        error = await world.refused("disk", buildpack("cat /dev/zero > filler"), disk_mb=256)
        assert "disk (256 MB)" in error
        error = await world.refused("forks", buildpack("bomb() { bomb | bomb & }; bomb; sleep 2; exit 7"))
        assert "'build' failed" in error or "exited" in error or "StagingTimeExpired" in error
        assert (await world.stage("disk", {"Procfile": "web: true\n"})).process_types == {"web": "true"}


async def test_a_build_that_prints_without_end_has_its_loss_counted(world: World) -> None:
    async with world.staging(StagingConfig(log_limit_bytes_per_s=16 * 1024)):
        await world.app("app")
        script = "head -c 50000000 /dev/zero | tr '\\\\0' 'x' | fold -w 1000; exit 1"
        await world.refused("app", buildpack(script))
        kept = sum(len(line) for line in world.lines("app"))
        assert kept < 8_000_000
        assert any("drop" in line.lower() or "lost" in line.lower() for line in world.lines("app"))


async def test_results_that_lie_are_refused(world: World) -> None:
    """The build writes its own result, as links and as nonsense; nothing outside is read."""
    swap = "rm -rf /home/vcap/staging/failure.json; ln -s /etc/shadow /home/vcap/staging/failure.json; exit 3"
    async with world.staging():
        await world.app("app")
        error = await world.refused("app", buildpack(swap))
        assert "root:" not in error


async def test_only_allowed_hosts_are_reached_while_building(world: World) -> None:
    probe = (
        'node -e \'fetch("http://192.0.2.1/",{signal:AbortSignal.timeout(3000)})'
        ".then(()=>process.exit(0),()=>process.exit(9))' || echo NOT REACHED; "
        "npm view ms@2.1.3 version && echo REGISTRY REACHED; exit 1"
    )
    async with world.staging():
        await world.app("app")
        await world.refused("app", buildpack(probe))
        lines = [line.strip() for line in world.lines("app")]
        assert "NOT REACHED" in lines
        assert "REGISTRY REACHED" in lines
