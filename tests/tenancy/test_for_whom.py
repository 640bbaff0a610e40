"""The column "for" of docs/api.md is what happens: each endpoint is called by one person of each role, and by who reads
the platform; whom the column names gets through, and nobody else does.
"""

import re
from collections import defaultdict
from pathlib import Path
from typing import Final

from paasd.api.routes import make_route_table
from paasd.auth import ADMIN_READ_ONLY, GLOBAL_AUDITOR
from paasd.model.arguments import SYSTEM
from paasd.model.users import CreateUser, create_user
from tests.api.calls import Caller
from tests.api.hands import working_hands
from tests.tenancy.calling import Answer
from tests.tenancy.walking import Entry, endpoint, entries, platform_entries, request
from tests.tenancy.world import EVERY_ROLE, World, open_world

READERS: Final = {"admin_read_only": ADMIN_READ_ONLY, "global_auditor": GLOBAL_AUDITOR}
WORD: Final = re.compile(r"[a-z_]+")
OPEN: Final = ("visible to the caller", "signed in", "who started it, or may see its resource")
"""Beginnings of texts that refuse nobody: what one may not see is not there."""
PERSONAL: Final = ("oneself", "whoever signs in", "who has the secret", "a user who may change apps")
"""Texts about whose session or secret it is; tests of sign-in, invitations and ssh say who gets through."""
HIDDEN: Final = "have access to"
"""What 422 says of a thing in the body that one may not see."""
BOTH: Final = re.compile(r"\bboth\b")
"""Two places are concerned, and only the owner has the role in both."""


def test_the_column_knows_only_words_that_mean_something() -> None:
    """A text that names nobody and stands for nothing would pass everywhere."""
    known = {*EVERY_ROLE, *READERS, "admin", "scim.read", "scim.write", "uaa.admin"}
    vague = [
        f"{route.method} {route.path}: {route.permission}"
        for route in make_route_table()
        if not route.permission.startswith(OPEN)
        and route.permission not in PERSONAL
        and not known & set(re.findall(r"[a-z_.]+", route.permission))
    ]
    assert vague == []


async def test_whom_the_column_names_gets_through_and_nobody_else(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        texts = {f"{route.method} {route.path}": route.permission for route in world.table}
        readers = {name: await reader(world, name, scope) for name, scope in READERS.items()}
        walk: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries(set(world.nobody.values)):
            walk[endpoint(entry)].append(entry)
        wrong = []
        for name, lines in walk.items():
            text = texts[name]
            named = [person for person in (*EVERY_ROLE, *READERS) if person in WORD.findall(text)]
            for person in sorted((*EVERY_ROLE, *READERS), key=lambda person: (person in named, person)):
                turn = named.index(person) if person in named else 0
                place = world.organizations[turn % len(world.organizations)]
                actor = "owner" if person in named and BOTH.search(text) else person
                token = readers.get(actor) or place.tokens[actor]
                answers = [await world.api.call(token, *request(entry, place.values)) for entry in lines]
                wrong += problems(name, text, person, person in named, answers)
        print(*wrong, sep="\n")
        assert wrong == []


async def test_calls_about_the_platform_are_for_whom_the_column_names(tmp_path: Path) -> None:
    async with (
        open_world(tmp_path) as world,
        working_hands(world.served.context),
        await world.served.admin() as http,
    ):
        caller = Caller(world.served, http)
        tokens = {name: await reader(world, name, scope) for name, scope in READERS.items()}
        tokens |= {person: world.organizations[0].tokens[person] for person in ("owner", "stranger")}
        wrong = []
        for route in world.table:
            name = f"{route.method} {route.path}"
            if name not in platform_entries() or route.path.startswith("/uaa"):
                continue
            method, url, more = await caller.request(route)
            named = set(WORD.findall(route.permission))
            for person, token in tokens.items():
                headers = {**more.get("headers", {}), "Authorization": f"bearer {token}"}
                sent = {key: value for key, value in more.items() if key != "auth"}
                answer = await http.request(method, url, **{**sent, "headers": headers})
                got = Answer(answer.status_code, [], answer.text)
                wrong += problems(name, route.permission, person, person in named, [got])
        print(*wrong, sep="\n")
        assert wrong == []


def problems(name: str, text: str, person: str, named: bool, answers: list[Answer]) -> list[str]:
    """Where the answers to one person are not what the text says."""
    through = [answer for answer in answers if gets_through(answer)]
    last = f"{answers[-1].status} {answers[-1].body[-160:]}"
    if text in PERSONAL:
        return []
    if text.startswith(OPEN):
        refused = [answer for answer in answers if answer.status == 403]
        return [f"{name} is for '{text}', and {person} is refused: {last}"] if refused else []
    if named and not through:
        return [f"{name} is for '{text}', and {person} is not let: {last}"]
    if through and not named:
        return [f"{name} is for '{text}', and {person} gets through: {through[0].status} {through[0].body[-160:]}"]
    return []


def gets_through(answer: Answer) -> bool:
    """Neither refused nor told that there is no such thing."""
    return answer.status not in (401, 403, 404) and not (answer.status == 422 and HIDDEN in answer.body)


async def reader(world: World, name: str, scope: str) -> str:
    """The token of somebody who reads the platform and has no role."""
    user = CreateUser(username=name, scopes=[scope], registered=True, actor=SYSTEM)
    await world.served.context.database.write(create_user, user)
    return world.token(name)
