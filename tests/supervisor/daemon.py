"""A daemon of its own process, to be killed: `python -m tests.supervisor.daemon DIRECTORY first|later`."""

import sys
from pathlib import Path

import trio

from .world import PROCESS_CHECK, open_world

COUNTER = "exec python3 -uc 'import time, itertools\nfor n in itertools.count(): print(n); time.sleep(0.002)'"


async def main() -> None:
    async with open_world(Path(sys.argv[1]), keep=True) as world, world.supervised():
        if sys.argv[2] == "first":
            await world.run_app("app", COUNTER, health=PROCESS_CHECK)
        await world.running("app-0")
        print("running", flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
