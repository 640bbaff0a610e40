"""Replays: what the `cf` CLI calls and needs to hear, command by command, as text (`replays/*.txt`).

    == cf create-org acme                       a command; what follows are its calls in their order
    as ann                                      who calls from here on; `admin` at first
    POST /v3/organizations {"name": "acme"}     method, path, JSON
    201 {"guid": "$org", "name": "acme"}        status, and what has to be in the JSON that comes back
    422 Organization 'acme' already exists.     or the literal text of the first error, by which the CLI goes
    202 job                                     or a job, which has to come to its end

`$org` is bound where it stands first and stands for that value from then on. "..." is anything that is there. A list
that ends in "..." may hold more, in any order. What goes on over a line is indented on the next one.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import trio

VARIABLE = re.compile(r"\$[a-z_0-9]+")
STEP = re.compile(r"(GET|POST|PATCH|PUT|DELETE) (\S+)(?: (.*))?")
ENDED = ("COMPLETE", "FAILED")


class Step(msgspec.Struct, frozen=True):
    """One call, and what has to come back."""

    where: str
    caller: str
    method: str
    path: str
    body: str
    status: int
    wanted: str


def steps(name: str, text: str) -> Iterator[Step]:
    """The calls of a replay. Raises ValueError for a line that cannot be read."""
    caller, command, asked = "admin", "", None
    for line in re.sub(r"\n +", " ", text).splitlines():
        if line.startswith("== "):
            command = line.removeprefix("== ")
        elif line.startswith("as "):
            caller = line.removeprefix("as ")
        elif match := STEP.fullmatch(line):
            asked = match
        elif asked is not None and line[:3].isdecimal():
            where = f"{name}: {command}: {asked[0]}"
            yield Step(where, caller, asked[1], asked[2], asked[3] or "", int(line[:3]), line[4:])
            asked = None
        elif line and not line.startswith("#"):
            raise ValueError(f"{name}: {line!r} is no part of a replay")


def commands(text: str) -> list[str]:
    """The commands that a replay plays, without what they are about."""
    return [line.split()[2] for line in text.splitlines() if line.startswith("== cf ")]


class Replay:
    """What was bound so far, and the clients of those who call."""

    def __init__(self, clients: dict[str, httpx.AsyncClient], **bound: str) -> None:
        self.clients = clients
        self.bound: dict[str, Any] = {f"${name}": value for name, value in bound.items()}

    async def play(self, step: Step) -> None:
        """Make the call and compare. Raises AssertionError."""
        http = self.clients[step.caller]
        body = json.loads(self._filled(step.body)) if step.body else None
        answer = await http.request(step.method, self._filled(step.path), json=body)
        assert answer.status_code == step.status, f"{step.where}: {answer.status_code} {answer.text}"
        if step.wanted == "job":
            await self._job(http, step, answer)
        elif step.wanted.startswith(("{", "[")):
            problem = self._differs(json.loads(step.wanted), answer.json(), "")
            assert problem is None, f"{step.where}: {problem} in {answer.text}"
        elif step.wanted:
            detail = answer.json()["errors"][0]["detail"]
            assert detail == self._filled(step.wanted), f"{step.where}: {detail}"

    async def _job(self, http: httpx.AsyncClient, step: Step, answer: httpx.Response) -> None:
        with trio.fail_after(10):
            while (job := (await http.get(answer.headers["Location"])).json())["state"] not in ENDED:
                await trio.sleep(0.01)
        assert job["state"] == "COMPLETE", f"{step.where}: {job}"

    def _filled(self, text: str) -> str:
        return VARIABLE.sub(lambda match: str(self.bound[match[0]]), text)

    def _differs(self, wanted: Any, found: Any, at: str) -> str | None:
        """Where `found` is not as `wanted`, None where it is; binds what is not bound."""
        if isinstance(wanted, dict) and isinstance(found, dict):
            missing = [key for key in wanted if key not in found]
            parts = (self._differs(value, found[key], f"{at}.{key}") for key, value in wanted.items() if key in found)
            return f"{at}.{missing[0]} is missing" if missing else next(filter(None, parts), None)
        if isinstance(wanted, list) and isinstance(found, list):
            return self._list_differs(wanted, found, at)
        if isinstance(wanted, str) and VARIABLE.fullmatch(wanted):
            wanted = self.bound.setdefault(wanted, found)
        elif wanted == "..." and found is not None:
            return None
        elif isinstance(wanted, str):
            wanted = self._filled(wanted)
        return None if wanted == found else f"{at} is {found!r}, not {wanted!r}"

    def _list_differs(self, wanted: list[Any], found: list[Any], at: str) -> str | None:
        if not wanted or wanted[-1] != "...":
            if len(wanted) != len(found):
                return f"{at} has {len(found)} elements, not {len(wanted)}"
            pairs = zip(wanted, found, strict=True)
            return next(filter(None, (self._differs(one, other, f"{at}[]") for one, other in pairs)), None)
        for one in wanted[:-1]:
            if all(self._differs(one, other, at) is not None for other in found):
                return f"{at} lacks {one!r}"
        return None
