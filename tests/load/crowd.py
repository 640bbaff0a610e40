"""A crowd of people with various roles who use one platform all at once, each write of whom is remembered."""

import random
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import trio

from .connection import Answer, Connection

PASSWORD = "a quiet harbour town in april"
ROLES = {
    "organization_manager": 2, "space_developer": 8, "space_auditor": 3, "organization_auditor": 2,
    "organization_billing_manager": 2, "space_supporter": 2, "space_manager": 1,
}  # fmt: skip
"""How many of twenty have which role; one organization for each twenty. The last of a crowd are administrators."""
PER_ORGANIZATION = sum(ROLES.values())
SETTING_UP_AT_ONCE = 8


class Crowd:
    """People of a platform; `took_s` holds the times of each kind of call, `wrong` what was answered otherwise."""

    def __init__(
        self,
        api: httpx.AsyncClient,
        port: int,
        host: str,
        context: ssl.SSLContext,
        *,
        admin_password: str,
        seed: int,
    ) -> None:
        self.took_s: dict[str, list[float]] = defaultdict(list)
        self.wrong: Counter[str] = Counter()
        self.people: list[Person] = []
        self._api = api
        self._admin_password = admin_password
        self._target = port, host, context
        self._random = random.Random(seed)

    async def gather(self, count: int, administrators: int) -> None:
        """Make organizations, spaces and people with their roles, and sign everybody in."""
        limiter = trio.CapacityLimiter(SETTING_UP_AT_ONCE)
        places = {number: await self._place(f"load-{number}") for number in range((count - 1) // PER_ORGANIZATION + 1)}
        roles = [role for role, many in ROLES.items() for _ in range(many)]

        async def join(number: int) -> None:
            async with limiter:
                role = "admin" if number >= count - administrators else roles[number % len(roles)]
                await self._join(number, role, places[number // PER_ORGANIZATION])

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(join, number)

    async def _place(self, name: str) -> tuple[str, str]:
        organization = await self._made("/v3/organizations", {"name": name})
        relationships = {"organization": {"data": {"guid": organization}}}
        return organization, await self._made("/v3/spaces", {"name": "dev", "relationships": relationships})

    async def _made(self, path: str, body: Any) -> str:
        answer = await self._api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json().get("guid") or answer.json()["id"])

    async def _join(self, number: int, role: str, place: tuple[str, str]) -> None:
        name = f"person-{number}"
        body = {"userName": name, "password": PASSWORD, "origin": "uaa", "emails": [{"value": f"{name}@example.org"}]}
        guid = await self._made("/uaa/Users", body)
        await self._made("/v3/users", {"guid": guid})
        kinds = ["organization_user"] if role == "admin" else ["organization_user", role]
        for kind in dict.fromkeys(kinds):
            where = {"space": place[1]} if kind.startswith("space_") else {"organization": place[0]}
            relationships = {key: {"data": {"guid": value}} for key, value in {**where, "user": guid}.items()}
            await self._made("/v3/roles", {"type": kind, "relationships": relationships})
        person = Person(self, Connection(*self._target), number, role, place, random.Random(self._random.random()))
        if role == "admin":
            await person.sign_in("admin", self._admin_password)
        else:
            await person.sign_in(name, PASSWORD)
        self.people.append(person)

    async def use(self, seconds: float) -> None:
        """Everybody at once, for so long, and until what was asked last is answered."""
        until = trio.current_time() + seconds
        async with trio.open_nursery() as nursery:
            for person in self.people:
                nursery.start_soon(person.live, until)

    async def lost(self) -> list[str]:
        """Acknowledged writes that are not there. Called when nobody writes any more."""
        found: list[str] = []
        limiter = trio.CapacityLimiter(SETTING_UP_AT_ONCE)

        async def check(person: "Person") -> None:
            async with limiter:
                found.extend(await person.lost(self._api))

        async with trio.open_nursery() as nursery:
            for person in self.people:
                nursery.start_soon(check, person)
        return found

    async def leave(self) -> None:
        for person in self.people:
            await person.connection.close()

    @property
    def writes(self) -> int:
        """Things that were written, each counted once however often."""
        return sum(len(person.values) + len(person.routes) for person in self.people)


class Person:
    """Somebody with one role. A write that was not answered may or may not have happened; all others must have."""

    def __init__(
        self, crowd: Crowd, connection: Connection, number: int, role: str, place: tuple[str, str], rng: random.Random
    ) -> None:
        self.connection = connection
        self._crowd, self._role, self._random = crowd, role, rng
        self._name = f"person-{number}"
        self._organization, self._space = place
        self._count = 0
        self._apps: list[str] = []
        self._unsure: set[str] = set()
        self.values: dict[tuple[str, str], list[str | None]] = {}
        """Of each label and variable the values that it may have: the last acknowledged, and those unanswered since."""
        self.routes: set[str] = set()

    async def sign_in(self, username: str, password: str) -> None:
        form = urlencode({"grant_type": "password", "username": username, "password": password})
        self.connection.token = "Basic Y2Y6"
        answer = await self._timed("POST /oauth/token", "POST", "/oauth/token", 200, form=form)
        assert answer is not None, self._crowd.wrong
        self.connection.token = f"bearer {answer.json['access_token']}"

    async def live(self, until: float) -> None:
        """One call after the other, none begun after `until` (of trio's clock)."""
        reads = [self._list_apps, self._one_app, self._organizations, self._spaces, self._routes, self._processes]
        works: list[Callable[[], Awaitable[None]]] = [*reads, *reads]
        match self._role:
            case "space_developer" | "admin":
                works += [self._make_app, self._set_variable, self._set_variable, self._label, self._label]
                works += [self._make_route, self._delete_app, self._variables]
            case "organization_manager" | "space_manager":
                works += [self._roles, self._roles, self._label_space]
            case "space_auditor" | "organization_auditor":
                works += [self._events, self._events]
            case _:
                pass
        while trio.current_time() < until:
            await self._random.choice(works)()
            await trio.lowlevel.checkpoint()

    async def _timed(
        self, name: str, method: str, path: str, expected: int, body: Any = None, form: str | None = None
    ) -> Answer | None:
        began = time.perf_counter()
        try:
            answer = await self.connection.call(method, path, body, form)
        except (OSError, EOFError, trio.BrokenResourceError) as error:
            self._crowd.wrong[f"{name} {type(error).__name__}"] += 1
            return None
        self._crowd.took_s[name].append(time.perf_counter() - began)
        if answer.status != expected:
            self._crowd.wrong[f"{name} {answer.status} {answer.body[:200]!r}"] += 1
            return None
        return answer

    async def _read(self, name: str, path: str) -> Answer | None:
        return await self._timed(f"GET {name}", "GET", path, 200)

    async def _list_apps(self) -> None:
        await self._read("/v3/apps", f"/v3/apps?space_guids={self._space}&per_page=50&order_by=-created_at")

    async def _one_app(self) -> None:
        if self._apps:
            await self._read("/v3/apps/:guid", f"/v3/apps/{self._random.choice(self._apps)}")

    async def _organizations(self) -> None:
        await self._read("/v3/organizations", "/v3/organizations")

    async def _spaces(self) -> None:
        await self._read("/v3/spaces", "/v3/spaces?names=dev&include=organization")

    async def _routes(self) -> None:
        await self._read("/v3/routes", "/v3/routes?per_page=50&include=domain")

    async def _processes(self) -> None:
        await self._read("/v3/processes", "/v3/processes?per_page=50")

    async def _roles(self) -> None:
        await self._read("/v3/roles", f"/v3/roles?organization_guids={self._organization}&include=user")

    async def _events(self) -> None:
        await self._read("/v3/audit_events", "/v3/audit_events?per_page=50&order_by=-created_at")

    async def _variables(self) -> None:
        if self._apps:
            await self._read("/v3/apps/:guid/env", f"/v3/apps/{self._random.choice(self._apps)}/env")

    def _next(self) -> str:
        self._count += 1
        return f"{self._name}-{self._count}"

    async def _make_app(self) -> None:
        if len(self._apps) < 10:
            body = {"name": self._next(), "relationships": {"space": {"data": {"guid": self._space}}}}
            answer = await self._timed("POST /v3/apps", "POST", "/v3/apps", 201, body)
            if answer is not None:
                self._apps.append(answer.json["guid"])

    async def _delete_app(self) -> None:
        if len(self._apps) > 5:
            guid = self._apps.pop(0)
            self._unsure.add(guid)
            await self._timed("DELETE /v3/apps/:guid", "DELETE", f"/v3/apps/{guid}", 202)

    async def _write(self, key: tuple[str, str], value: str, *call: Any) -> None:
        """A value that is unique: what is there in the end is the last acknowledged, or one written after that."""
        self.values.setdefault(key, [None]).append(value)
        if await self._timed(*call) is not None:
            self.values[key] = [value]

    async def _set_variable(self) -> None:
        if self._apps:
            guid, value = self._random.choice(self._apps), self._next()
            path = f"/v3/apps/{guid}/environment_variables"
            call = ("PATCH /v3/apps/:guid/environment_variables", "PATCH", path, 200, {"var": {"WRITTEN": value}})
            await self._write((f"{path} var", "WRITTEN"), value, *call)

    async def _label(self) -> None:
        if self._apps:
            path, value = f"/v3/apps/{self._random.choice(self._apps)}", self._next()
            body = {"metadata": {"labels": {"written": value}}}
            call = ("PATCH /v3/apps/:guid", "PATCH", path, 200, body)
            await self._write((f"{path} metadata.labels", "written"), value, *call)

    async def _label_space(self) -> None:
        path, value = f"/v3/spaces/{self._space}", self._next()
        body = {"metadata": {"labels": {self._name: value}}}
        call = ("PATCH /v3/spaces/:guid", "PATCH", path, 200, body)
        await self._write((f"{path} metadata.labels", self._name), value, *call)

    async def _make_route(self) -> None:
        if len(self.routes) >= 20:
            return
        domain = await self._read("/v3/domains", "/v3/domains?names=apps.localhost")
        if domain is None:
            return
        relationships = {
            "space": {"data": {"guid": self._space}},
            "domain": {"data": {"guid": domain.json["resources"][0]["guid"]}},
        }
        body = {"host": self._next(), "relationships": relationships}
        answer = await self._timed("POST /v3/routes", "POST", "/v3/routes", 201, body)
        if answer is not None:
            self.routes.add(answer.json["guid"])

    async def lost(self, api: httpx.AsyncClient) -> list[str]:
        """What this person was told is done, and is not."""
        found = []
        for path in [*(f"/v3/apps/{guid}" for guid in self._apps), *(f"/v3/routes/{guid}" for guid in self.routes)]:
            if (await api.get(path)).status_code != 200:
                found.append(path)
        for (where, name), values in self.values.items():
            path, _, keys = where.partition(" ")
            if path.split("/")[3] in self._unsure:
                continue
            there: Any = (await api.get(path)).json()
            for key in keys.split("."):
                there = there.get(key, {})
            if there.get(name) not in values:
                found.append(f"{where} {name} is {there.get(name)}, not {values}")
        return found
