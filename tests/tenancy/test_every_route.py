"""No answer tells what another organization has: each endpoint, each role, a foreign object against one that is not.

`entries.py` has a line for each endpoint of the route table. Each request goes out twice, once with guids and names of
another organization and once with some that nobody has. Apart from these the two answers have to be the same bytes.
The same requests are then made by who owns the objects, and have to get at them.
"""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from tests.tenancy.entries import NO_SUCCESS, TAKEN
from tests.tenancy.seeds import NAMES
from tests.tenancy.walking import (
    PARAMETER,
    Entry,
    comparable,
    endpoint,
    entries,
    fillings,
    leaks,
    platform_entries,
    request,
)
from tests.tenancy.world import HOSTILE, Organization, World, open_world


def test_every_endpoint_has_an_entry_and_every_entry_an_endpoint() -> None:
    served = {f"{route.method} {route.path}" for route in make_route_table()}
    known = {endpoint(entry) for entry in entries(set())} | platform_entries()
    assert served - known == set(), "write a line for these into tests/tenancy/entries.py"
    assert known - served == set(), "these are no endpoints (any more)"


async def test_a_foreign_object_is_answered_like_none_and_its_owner_gets_at_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        walk = list(entries(set(world.nobody.values)))
        found: list[str] = []
        for entry in (one for one in walk if one.method == "GET"):
            found += await owner_problems(world, entry)
        for person in HOSTILE:
            for entry in walk:
                found += await differences(world, entry, person)
        for entry in (one for one in walk if one.method != "GET"):
            found += await owner_problems(world, entry)
        assert "\n".join(found) == ""
        assert world.api.calls > len(walk) * len(HOSTILE)


async def test_filters_totals_and_includes_count_only_what_one_may_see(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        found: list[str] = []
        for entry in entries(set(world.nobody.values)):
            if entry.method == "GET":
                for person in HOSTILE:
                    found += await list_differences(world, entry, person)
        assert "\n".join(found) == ""


async def test_a_name_that_is_taken_does_not_say_by_whom(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        own, (first, _, third) = world.organizations[1], world.organizations
        found = []
        for number, (line, body) in enumerate(TAKEN):
            method, url = line.split(" ", 1)
            url = PARAMETER.sub(lambda match: f"${match[2]}", url)
            entry = Entry(line, method, url, body)
            names = [kind for kind in entry.kinds if kind in NAMES]
            # Who names a user gives a role to that user, and reads in the role who that is.
            known = {"user": first.values["user"]} if "user.name" in names else {}
            for person in HOSTILE:
                token = own.tokens[person]
                answers = []
                for other in (first, third):
                    values = {**own.values, **{kind: other.values[kind] for kind in names}}
                    answer = await world.api.call(token, *request(entry, values))
                    job = dict(answer.headers).get("location")
                    if job is not None:
                        answer = await world.api.call(token, "GET", job.removeprefix("http://api.example.org"))
                    answers.append(comparable(answer, values))
                    if told := leaks(answer, first, {**values, **known}):
                        found.append(f"{number} {line} as {person} tells {told}: {answer.body}")
                if answers[0] != answers[1]:
                    found.append(f"{number} {line} as {person}: {answers}")
        assert "\n".join(found) == ""


async def test_what_is_of_the_platform_is_told_to_all_alike(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, *others = world.organizations
        found = []
        for line in sorted(platform_entries()):
            method, path = line.split(" ")
            # A passcode is another one each time.
            for person in HOSTILE if method == "GET" and not path.endswith("/passcode") else ():
                told = []
                for own in others:
                    answer = await world.api.call(own.tokens[person], method, PLACE.sub("none", path))
                    told.append(comparable(answer, {**own.values, "word": own.word}))
                    if kinds := leaks(answer, first, {}):
                        found.append(f"{line} as {person} tells {kinds}: {answer.body[:300]}")
                if told[0] != told[1]:
                    found.append(f"{line} as {person}: {told}")
        assert "\n".join(found) == ""
        assert world.api.calls > 20 * len(HOSTILE)


async def differences(world: World, entry: Entry, person: str) -> list[str]:
    """Where somebody of the second organization learns something of the first."""
    theirs, own, *_ = world.organizations
    found = []
    for foreign, values, none in fillings(entry.kinds, theirs, world.nobody, own):
        if not entry.kinds:
            values = none = own.values
        sent_twice = (values, none) if entry.kinds else (values,)
        answers = [await world.api.call(own.tokens[person], *request(entry, sent)) for sent in sent_twice]
        if entry.kinds and comparable(answers[0], values) != comparable(answers[1], none):
            shown = [f"{answer.status} {answer.body[:300]}" for answer in answers]
            found.append(f"{entry.route} as {person}, foreign {foreign}:\n  {shown[0]}\n  {shown[1]}")
        for answer, sent in zip(answers, sent_twice, strict=True):
            if told := leaks(answer, theirs, sent):
                found.append(f"{entry.route} as {person} tells {told}: {answer.body[:300]}")
    return found


async def owner_problems(world: World, entry: Entry) -> list[str]:
    """Whether who owns the objects gets at them, and what nobody has is answered otherwise."""
    theirs = world.organizations[0]
    method, url, body = request(entry, theirs.values)
    token = theirs.tokens["owner"]
    answer = await world.api.call(token, method, url, body)
    if answer.status == 403:
        token = world.admin
        answer = await world.api.call(token, method, url, body)
    wanted = NO_SUCCESS.get(endpoint(entry))
    if answer.status != wanted if wanted else answer.refused:
        return [f"{entry.route} by who owns it: {answer.status} {answer.body[:300]}"]
    job = dict(answer.headers).get("location", "")
    if "/v3/jobs/" in job:
        seen = await world.api.call(token, "GET", job.removeprefix("http://api.example.org"))
        return [] if seen.status == 200 else [f"{entry.route}: who started its job does not see it"]
    return []


async def list_differences(world: World, entry: Entry, person: str) -> list[str]:
    """Each include; and for who sees most, each filter with everything of the first organization. What the path names
    is their own.
    """
    theirs, own, *_ = world.organizations
    _, url, _ = request(entry, own.values)
    route = next(one for one in world.table if f"{one.method} {one.path}" == endpoint(entry))
    values, nothing = ([one.values[k] for k in theirs.private()] for one in (theirs, world.nobody))
    queries = [(f"?include={name}",) * 2 for name in route.query.include]
    if "?" in url:
        return []  # filtered already, and no list of Cloud Foundry's
    if person == "owner":
        queries += [(f"?{name}={','.join(values)}", f"?{name}={','.join(nothing)}") for name in route.query.filters]
    if route.query.labels:
        queries.append((f"?label_selector={values_of(theirs)}", f"?label_selector={values_of(world.nobody)}"))
    if "Users" in entry.url:
        queries.append((f"?filter={quote(name_filter(theirs))}", f"?filter={quote(name_filter(world.nobody))}"))
    found = []
    for pair in queries:
        answers = [await world.api.call(own.tokens[person], "GET", url + query) for query in pair]
        sent = (theirs.values, world.nobody.values)
        if comparable(answers[0], sent[0]) != comparable(answers[1], sent[1]):
            found.append(f"{entry.route}{pair[0][:60]} as {person}: {answers[0].body[:300]} {answers[1].body[:300]}")
        for answer in answers:
            if told := leaks(answer, theirs, {} if "=" not in pair[0] else dict(zip(values, values, strict=True))):
                found.append(f"{entry.route}{pair[0][:60]} as {person} tells {told}")
    return found


def values_of(organization: Organization) -> str:
    """The label that everything of an organization carries."""
    return f"{organization.values['label']}%3Dyes"


def name_filter(organization: Organization) -> Any:
    """SCIM's words for somebody's name."""
    return f'userName eq "{organization.values["user.name"]}"'
