"""The daemon dies by kill -9; its containers do not, and the next daemon takes over them and nothing else."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.sandbox import Container, ProcessSpec, SandboxError, adoption
from paasd.sandbox.inventory import processes_of
from paasd.sandbox.launcher import wire
from paasd.sandbox.processes import command_lines, shims

from .daemon import STEPS
from .place import Place, output, records, run, shell, spec

pytestmark = pytest.mark.root
ROOT = Path(__file__).parents[2]


def command(place: Place, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.sandbox.daemon", str(place.data), str(place.slots), *arguments]


@asynccontextmanager
async def held(place: Place, *guids: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A daemon in another process that has started these containers; calling what is given kills it."""
    async with trio.open_nursery() as nursery:
        start = partial(trio.run_process, stdout=subprocess.PIPE, check=False, cwd=ROOT)
        process: trio.Process = await nursery.start(start, command(place, "hold", *guids))

        async def kill() -> None:
            process.kill()
            await process.wait()

        with trio.fail_after(20):
            said = b""
            async for chunk in process.stdout:  # type: ignore[union-attr]
                said += chunk
                if b"holding" in said:
                    break
        assert b"holding" in said
        yield kill
        await kill()


async def count_after(container: Container, count: int) -> int:
    with trio.fail_after(10):
        while (now := len(output(container.spool).split())) <= count:
            await trio.sleep(0.01)
    return now


async def test_containers_run_on_and_are_taken_over(place: Place) -> None:
    async with held(place, "one", "two") as kill:
        await kill()
    shims = set(processes_of(place.prefix)["shim"])
    assert len(shims) == 2
    async with place.open() as sandbox:
        assert set(sandbox.containers) == {"one", "two"}
        assert set(processes_of(place.prefix)["shim"]) == shims, "nothing was restarted"
        one, two = sandbox.containers["one"], sandbox.containers["two"]
        assert one.running
        assert one.spec.labels == {"for": "one"}
        assert one.address != two.address
        await count_after(one, len(output(one.spool).split()))
        handle = await one.exec(["sh", "-c", "exit 5"], {}, "/")
        assert await handle.wait() == 5
        one.signal(signal.SIGTERM)
        with trio.fail_after(10):
            ended = await one.wait()
        assert (ended.reason, ended.code) == ("exited", 17)
        ended, _text = await run(one, shell("exit 3"))
        assert ended.code == 3
        await two.kill()
        assert (await two.wait()).reason == "killed"


async def test_output_is_spooled_without_a_gap_while_no_daemon_runs(place: Place) -> None:
    async with held(place, "one") as kill:
        await kill()
    spool = place.data / "sandbox/containers/one/spool"
    seen = len(output(spool).split())
    with trio.fail_after(10):
        while len(output(spool).split()) < seen + 20:
            await trio.sleep(0.02)
    numbers = [int(word) for word in output(spool).split()]
    assert numbers == list(range(1, len(numbers) + 1))
    times = [at for at, _stream, _payload in records(spool)]
    assert times == sorted(times)
    async with place.open():
        pass


async def test_an_end_without_witness_is_known_afterwards(place: Place) -> None:
    async with held(place, "one") as kill:
        await kill()
    (pid1,) = processes_of(place.prefix)["pid1"]
    (app,) = (int(p) for p in Path(f"/proc/{pid1}/task/{pid1}/children").read_text().split())
    os.kill(app, signal.SIGTERM)
    exit_file = place.data / "sandbox/containers/one/run-1/exit"
    with trio.fail_after(10):
        while not exit_file.exists():
            await trio.sleep(0.01)
    async with place.open() as sandbox:
        ended = await sandbox.containers["one"].wait()
        assert (ended.reason, ended.code) == ("exited", 17)
        assert not sandbox.containers["one"].running


async def test_containers_outlive_a_daemon_that_leaves_in_order_ten_times(place: Place) -> None:
    async with held(place, "one") as kill:
        await kill()
    shims = processes_of(place.prefix)["shim"]
    for _ in range(10):
        async with place.open(keep=True) as sandbox:
            assert sandbox.containers["one"].running
    assert processes_of(place.prefix)["shim"] == shims
    async with place.open():
        pass


async def test_what_a_program_calls_itself_makes_it_no_shim(place: Place) -> None:
    """Of a container that never was, of one that is, and of names that lead elsewhere: the next start believes none."""
    names = ("never", "one", "../containers", "../../holder", "x" * 300)
    titles = {f"paasd-shim {place.prefix} {name}" for name in names}
    # What the kernel calls it is chosen as well: no text, a forged owner, and all that some take for the end of a line.
    called = (r"\xff", r"a\rUid:\t0", r"a\x0bUid:\t0", r"a\nUid:\t0", "cat")
    linked = "".join(f"ln -sf /bin/cat $'/tmp/{name}'; " for name in called if name != "cat")
    shown = linked + "".join(
        f"(exec -a '{title}' $'/{'bin' if name == 'cat' else 'tmp'}/{name}') < <(sleep 1000) & "
        for title in titles
        for name in called
    )
    async with place.open(keep=True) as sandbox:
        one = await sandbox.create(spec("one"))
        await one.start(ProcessSpec(argv=("/bin/bash", "-c", f"{shown} wait"), cwd="/"))
        with trio.fail_after(10):
            while not titles <= set(command_lines().values()):
                await trio.sleep(0.02)
        shim = processes_of(place.prefix)["shim"]
        assert shims(place.prefix) == dict.fromkeys(shim, "one")
        assert len(shim) == 1, "it alone"
    async with place.open() as sandbox:
        assert set(sandbox.containers) == {"one"}
        assert sandbox.containers["one"].running
        assert processes_of(place.prefix)["shim"] == shim
        assert titles <= set(command_lines().values()), "nor is a process ended for what it shows"


async def test_two_daemons_cannot_have_one_directory(place: Place) -> None:
    async with place.open():
        with pytest.raises(SandboxError, match="another daemon"):
            async with place.open():
                pytest.fail("it opened")


async def test_a_new_zygote_is_started_when_the_old_one_was_killed(place: Place) -> None:
    async with place.open() as sandbox:
        first = await sandbox.create(spec("one"))
        await first.start(shell("sleep 1000"))
        (zygote,) = processes_of(place.prefix)["zygote"]
        os.kill(zygote, signal.SIGKILL)
        ended, text = await run(await sandbox.create(spec("two")), shell("echo alive"))
        assert (ended.code, text) == (0, "alive\n")
        assert first.running


async def test_a_zygote_of_another_build_is_replaced_and_what_it_started_lives_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(place, "one") as kill:
        await kill()
    (former,) = processes_of(place.prefix)["zygote"]
    for program, same in ((wire.PROGRAM, True), (wire.PROGRAM + 1, False)):
        monkeypatch.setattr(wire, "PROGRAM", program)
        async with place.open(keep=same) as sandbox:
            assert sandbox.containers["one"].running
            (zygote,) = processes_of(place.prefix)["zygote"]
            assert (zygote == former) == same


async def test_a_start_that_fails_ends_although_containers_were_taken_over(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(place, "one") as kill:
        await kill()
    (place.data / "sandbox/containers/stray").mkdir()

    async def broken(*_args: object) -> None:
        raise RuntimeError("made to fail")

    with monkeypatch.context() as patched, trio.fail_after(20):
        patched.setattr(adoption, "take_down", broken)
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
            async with place.open():
                pytest.fail("it opened")
    async with place.open() as sandbox:
        assert set(sandbox.containers) == {"one"}
        assert sandbox.containers["one"].running


@pytest.mark.parametrize("step", STEPS)
async def test_a_daemon_killed_while_creating_leaves_nothing_after_the_next_start(
    place: Place, step: str, layer: Path
) -> None:
    done = await trio.run_process(command(place, "die", step, str(layer)), check=False, cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    late = "shim" in step
    async with place.open() as sandbox:
        assert set(sandbox.containers) == ({"victim"} if late else set())
        if late:
            victim = sandbox.containers["victim"]
            await victim.kill()
            ended, _text = await run(victim, shell("exit 9"))
            assert ended.code == 9
            await victim.destroy()
        left = place.leftovers()
        left.pop("processes")
        left.pop("network")  # The node's own table stays while it is open.
        assert set(left) == {"cgroups"}
        assert all(Path(name).name == f"paasd-{place.prefix}" for name in left["cgroups"])


async def test_a_step_of_create_that_fails_takes_all_before_it_down(
    place: Place, layer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.open() as sandbox:
        await (await sandbox.create(spec("warm"))).destroy()
        before = place.inventory()
        for step, (owner, name, when) in STEPS.items():
            if "shim" in step or "layers" in step or (not when and "record" not in step):
                continue
            with monkeypatch.context() as patched:
                patched.setattr(owner, name, failing_after(getattr(owner, name)))
                with pytest.raises(OSError, match="made to fail"):
                    await sandbox.create(spec("victim", layers=(layer,)))
            assert place.inventory().difference(before) == {}, step
        ended, text = await run(await sandbox.create(spec("victim", layers=(layer,))), shell("cat /home/vcap/layer"))
        assert (ended.code, text) == (0, "from the layer\n")


def failing_after(original: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which does its work and then fails as if the disk were full."""

    def failing(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)
        if not hasattr(result, "__await__"):
            raise OSError(28, "made to fail")

        async def after() -> None:
            await result
            raise OSError(28, "made to fail")

        return after()

    return failing
