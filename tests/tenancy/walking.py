"""From the table of entries to requests, and from answers to what may differ in them."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tests.tenancy.calling import Answer
from tests.tenancy.entries import CHANGES, PLATFORM, READS
from tests.tenancy.seeds import NAMES
from tests.tenancy.world import PLACEHOLDER, Organization, filled

PARAMETER: Final = re.compile(r"<([a-z_]+)=([a-z0-9_.-]+)>")
GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
OF_THE_MOMENT: Final = ("date", "content-length", "x-ratelimit-remaining", "x-ratelimit-reset")
"""Headers that another call at another time has otherwise; the last two count the caller's own calls."""


class Entry(msgspec.Struct, frozen=True):
    """One request as a template: `route` names the endpoint, `url` and `body` carry `$kind`."""

    route: str
    method: str
    url: str
    body: Any = None

    @property
    def kinds(self) -> list[str]:
        """What has to be filled in."""
        return list(dict.fromkeys(PLACEHOLDER.findall(self.url) + PLACEHOLDER.findall(repr(self.body))))


def entries(kinds: set[str]) -> Iterator[Entry]:
    """All of READS and CHANGES, in the order in which they stand there."""
    lines: list[tuple[str, Any]] = [(f"GET {line}", None) for line in READS.split()]
    for line, bodies in CHANGES.items():
        lines += [(line, body) for body in (bodies if isinstance(bodies, list) else [bodies])]
    for line, body in lines:
        method, path = line.split(" ", 1)
        query, sent = body if isinstance(body, tuple) else ("", body)
        url = PARAMETER.sub(lambda match: f"${match[2]}" if match[2] in kinds else match[2], path) + query
        yield Entry(f"{method} {path}", method, url, sent)


def endpoint(entry: Entry) -> str:
    """The endpoint of an entry, as the route table names it."""
    return PARAMETER.sub(r"<\1>", entry.route).partition("?")[0]


def platform_entries() -> set[str]:
    """Endpoints that have to do with no tenant."""
    words = PLATFORM.split()
    return {f"{method} {path}" for method, path in zip(words[::2], words[1::2], strict=True)}


def fillings(
    kinds: list[str], theirs: Organization, nobodys: Organization, own: Organization
) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """(what is foreign, values as of the other organization, values as of nobody): all at once, and each alone."""
    choices = [kinds] if len(kinds) <= 1 else [kinds, *([kind] for kind in kinds)]
    for foreign in choices:
        label = "+".join(foreign)
        as_theirs, as_nobodys = (
            {**own.values, **{kind: source.values[kind] for kind in foreign}} for source in (theirs, nobodys)
        )
        yield label, as_theirs, as_nobodys


def request(entry: Entry, values: dict[str, str]) -> tuple[str, str, Any]:
    """Method, URL and body."""
    return entry.method, filled(entry.url, values), None if entry.body is None else filled(entry.body, values)


def comparable(answer: Answer, sent: dict[str, str]) -> tuple[Any, ...]:
    """An answer without what was sent, guids and times: what is left may not depend on whose the object is."""

    def clean(text: str) -> str:
        for kind, value in sorted(sent.items(), key=lambda item: -len(item[1])):
            text = text.replace(value, f"<{kind if kind in NAMES else 'guid'}>")
        return TIME.sub("<time>", GUID.sub("<guid>", text))

    headers = [(name, clean(value)) for name, value in answer.headers if name not in OF_THE_MOMENT]
    return answer.status, headers, clean(answer.body)


def leaks(answer: Answer, theirs: Organization, sent: dict[str, str]) -> list[str]:
    """Kinds whose values stand in an answer though they were not in the request."""
    told = set(sent.values())
    text = answer.body + repr(answer.headers)
    return sorted(kind for kind, value in theirs.private().items() if value not in told and value in text)
