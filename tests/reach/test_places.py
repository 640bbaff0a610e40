"""What is closed for instances because nodes are there."""

import socket
from pathlib import Path

import pytest
import trio

from paasd.reach.places import addresses_of, places_of_nodes
from paasd.state import InlineRunner, open_database
from tests.model.seeding import NODE, Seed

PUBLIC = ("203.0.113.7", "203.0.113.8")


async def test_public_addresses_are_closed_as_the_advertised_ones_of_others_are(tmp_path: Path) -> None:
    async with open_database(tmp_path, runner=InlineRunner(), sync=False) as database:
        await Seed(database).member()
        with database.read() as tx:
            assert set(await addresses_of(places_of_nodes(tx, NODE, PUBLIC))) == set(PUBLIC)
            assert set(await addresses_of(places_of_nodes(tx, "another", PUBLIC))) == {*PUBLIC, "192.0.2.1"}


async def test_nodes_are_known_by_address_or_by_name() -> None:
    assert await addresses_of(["192.0.2.1", "2001:db8::1", "localhost", "no.such.name.invalid"]) == {
        "192.0.2.1": {"192.0.2.1"},
        "2001:db8::1": set(),
        "localhost": {"127.0.0.1"},
    }


async def test_what_cannot_be_resolved_now_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, str] = {"one.example.org": "192.0.2.1", "two.example.org": "192.0.2.2"}

    async def lookup(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if name not in answers:
            raise socket.gaierror
        return [(None, None, None, "", (answers[name], 0))]

    monkeypatch.setattr(trio.socket, "getaddrinfo", lookup)
    names = tuple(answers)
    last = await addresses_of(names)
    answers.pop("one.example.org")
    answers["two.example.org"] = "192.0.2.3"
    assert await addresses_of(names, last) == {"one.example.org": {"192.0.2.1"}, "two.example.org": {"192.0.2.3"}}
    assert await addresses_of(names[1:], last) == {"two.example.org": {"192.0.2.3"}}, "one that left is forgotten"
