"""Nodes of this release and of the one before understand each other."""

import json
from typing import Any

import msgspec
import pytest

import paasd
from tests.wire.messages import STORED, example, messages

TYPES = dict(messages())
RELEASES = {path.stem: json.loads(path.read_text()) for path in sorted(STORED.glob("*.json"))}
CASES = [(release, name) for release, stored in RELEASES.items() for name in stored]


def taken_apart(message: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


def contains(newer: Any, older: Any) -> bool:
    """Whether all that the older one says is said by the newer one, too, in its place."""
    if isinstance(older, dict):
        return isinstance(newer, dict) and all(key in newer and contains(newer[key], older[key]) for key in older)
    if isinstance(older, list):
        return isinstance(newer, list) and len(newer) >= len(older) and all(map(contains, newer, older))
    return bool(newer == older)


@pytest.mark.parametrize(("release", "name"), CASES)
def test_a_message_of_an_earlier_release_is_read_and_nothing_of_it_is_lost(release: str, name: str) -> None:
    stored = bytes.fromhex(RELEASES[release][name])
    read = msgspec.msgpack.decode(stored, type=TYPES[name])
    assert contains(taken_apart(read), msgspec.msgpack.decode(stored))


@pytest.mark.parametrize("name", TYPES)
def test_what_a_later_release_adds_to_a_message_is_passed_over(name: str) -> None:
    now = example(TYPES[name])
    later = {**now, "added_later": 1} if isinstance(now, dict) else [*now, "added later"]
    read = msgspec.msgpack.decode(msgspec.msgpack.encode(later), type=TYPES[name])
    assert contains(taken_apart(read), now)


def test_all_messages_of_this_release_are_stored() -> None:
    """A new one is stored by `python -m tests.wire.messages`; a field that a release has had stays where it is."""
    assert set(RELEASES[paasd.__version__]) == set(TYPES)


def test_a_field_that_moves_or_goes_is_noticed() -> None:
    class Before(msgspec.Struct, array_like=True):
        name: str
        size: int

    class Moved(msgspec.Struct, array_like=True):
        size: int
        name: str

    class Renamed(msgspec.Struct):
        title: str = ""

    old = msgspec.msgpack.encode(Before("a", 1))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(old, type=Moved)
    assert not contains(taken_apart(msgspec.msgpack.decode(b"\x81\xa4name\xa1a", type=Renamed)), {"name": "a"})
