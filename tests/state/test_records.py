from pathlib import Path
from random import Random

import apsw
import pytest

from paasd.errors import NotFound
from paasd.state import (
    And,
    Contains,
    Duplicate,
    Eq,
    Ge,
    Gt,
    HasText,
    In,
    InSelect,
    IsNull,
    Le,
    Lt,
    MissingReference,
    Ne,
    Not,
    Or,
    Record,
    StartsWith,
    Tx,
    table_of,
)
from paasd.state.checking import table_mismatches
from tests.state.things import SCRIPT, Detail, Mark, Thing


@pytest.fixture
def tx() -> Tx:
    connection = apsw.Connection(":memory:")
    connection.execute(SCRIPT).fetchall()
    connection.execute("PRAGMA foreign_keys=ON").fetchall()
    return Tx(connection, 1_700_000_000.9, Random(1).getrandbits)


def test_every_kind_of_field_comes_back_as_it_was_stored(tx: Tx) -> None:
    full = Mark(
        thing="a",
        number=-(2**62),
        value=0.5,
        data=b"\0\xff",
        flag=True,
        color="green",
        tags=["x", "\N{SNOWMAN}", '"'],
        detail=Detail(3, ["y"]),
    )
    empty = Mark(thing="a", number=2)
    falsy = Mark(thing="a", number=3, value=0, data=b"", flag=False)
    for mark in (full, empty, falsy):
        tx.insert(mark)
        found = tx.get(Mark, mark.thing, mark.number)
        assert found == mark
        assert found is not None
        assert type(found.flag) is type(mark.flag)
    assert type(tx.need(Mark, "a", 3).value) is float


def test_insert_fills_in_guid_and_times_and_update_moves_the_time(tx: Tx) -> None:
    thing = tx.insert(Thing(name="a"))
    assert len(thing.guid) == 36
    assert thing.created_at == thing.updated_at == "2023-11-14T22:13:20Z"
    kept = tx.insert(Thing(guid="g", created_at="then", updated_at="then", name="b"))
    assert (kept.guid, kept.created_at, kept.updated_at) == ("g", "then", "then")
    changed = tx.update(kept, size=5)
    assert (changed.created_at, changed.updated_at, changed.size) == ("then", tx.now, 5)
    assert tx.get(Thing, "g") == changed


def test_conditions_select_what_they_say(tx: Tx) -> None:
    owner = tx.insert(Thing(guid="o", name="owner", size=9)).guid
    for number, name in enumerate(["ab", "Ab", "b%", "c"]):
        tx.insert(Thing(guid=name, name=name, size=number, owner=owner if number % 2 else None))
    tx.insert(Mark(thing="ab", number=1, tags=["red", "blue"], flag=True))
    tx.insert(Mark(thing="c", number=2, tags=["blueish"], flag=None))

    def names(*conditions: object, **equals: object) -> list[str]:
        return [thing.name for thing in tx.all(Thing, *conditions, order=("name",), **equals)]  # type: ignore[arg-type]

    assert names(Eq("size", 2)) == ["b%"]
    assert names(Eq("owner", None)) == names(IsNull("owner")) == names(owner=None) == ["ab", "b%", "owner"]
    assert names(Ne("owner", owner)) == ["ab", "b%", "owner"]
    assert names(Lt("size", 1)) == ["ab"]
    assert names(Le("size", 1)) == ["Ab", "ab"]
    assert names(Gt("size", 3)) == ["owner"]
    assert names(Ge("size", 3)) == ["c", "owner"]
    assert names(In("name", ["c", "ab", "nobody"])) == ["ab", "c"]
    assert names(In("size", {0, 3})) == ["ab", "c"]
    assert names(In("name", [])) == []
    assert names(Not(In("name", []))) == names()
    assert names(StartsWith("name", "a")) == ["ab"]
    assert names(StartsWith("name", "b%")) == ["b%"]
    assert names(HasText("name", "B")) == ["Ab", "ab", "b%"]
    assert names(HasText("name", "%")) == ["b%"]
    assert names(Or(Eq("size", 0), Eq("size", 1)), owner=owner) == ["Ab"]
    assert names(Or()) == []
    assert names(And()) == names()
    assert names(Not(Gt("size", 1)), Not(IsNull("owner"))) == ["Ab"]
    assert names(InSelect("guid", Mark, "thing", Contains("tags", "blue"))) == ["ab"]
    assert names(Not(InSelect("guid", Mark, "thing"))) == ["Ab", "b%", "owner"]
    assert tx.count(Mark, flag=True) == tx.count(Mark, Eq("flag", True)) == 1
    assert tx.count(Mark, Not(Eq("flag", True))) == 1
    assert tx.exists(Thing, name="c")
    assert not tx.exists(Thing, name="d")


def test_not_of_a_comparison_with_null_is_true(tx: Tx) -> None:
    tx.insert(Mark(thing="a", number=1, value=None))
    assert tx.count(Mark, Gt("value", 1)) == 0
    assert tx.count(Mark, Not(Gt("value", 1))) == 1


def test_rows_of_the_same_second_stay_in_the_order_of_writing(tx: Tx) -> None:
    for name in ("z", "m", "a", "q"):
        tx.insert(Thing(name=name))
    assert [t.name for t in tx.all(Thing, order=("created_at",))] == ["z", "m", "a", "q"]
    assert [t.name for t in tx.all(Thing, order=("-created_at",), limit=2)] == ["q", "a"]
    assert [t.name for t in tx.all(Thing, order=("-created_at",), limit=2, offset=2)] == ["m", "z"]
    assert [t.name for t in tx.all(Thing, order=("name",), offset=3)] == ["z"]


def test_a_taken_name_is_a_duplicate_that_names_its_columns(tx: Tx) -> None:
    first = tx.insert(Thing(name="a"))
    with pytest.raises(Duplicate, match="name is taken") as caught:
        tx.insert(Thing(name="a"))
    assert (caught.value.table, caught.value.columns) == ("things", ("name",))
    with pytest.raises(Duplicate) as caught:
        tx.update(tx.insert(Thing(name="b")), name="a")
    assert caught.value.columns == ("name",)
    tx.insert(Mark(thing="a", number=1))
    with pytest.raises(Duplicate) as caught:
        tx.insert(Mark(thing="a", number=1))
    assert caught.value.columns == ("thing", "number")
    assert tx.update(first, name="a").name == "a"


def test_references_are_kept(tx: Tx) -> None:
    with pytest.raises(MissingReference):
        tx.insert(Thing(name="a", owner="nobody"))
    owner = tx.insert(Thing(name="owner"))
    tx.insert(Thing(name="a", owner=owner.guid))
    with pytest.raises(MissingReference):
        tx.delete(owner)
    tx.delete_all(Thing, name="a")
    tx.delete(owner)
    assert tx.count(Thing) == 0


def test_what_is_gone_is_not_found(tx: Tx) -> None:
    thing = tx.insert(Thing(name="a"))
    tx.delete(thing)
    assert tx.get(Thing, thing.guid) is None
    for attempt in (
        lambda: tx.need(Thing, thing.guid),
        lambda: tx.update(thing, size=1),
        lambda: tx.delete(thing),
    ):
        with pytest.raises(NotFound, match="Thing not found"):
            attempt()


def test_mistakes_of_the_caller_are_errors(tx: Tx) -> None:
    thing = tx.insert(Thing(name="a"))
    with pytest.raises(ValueError, match="key"):
        tx.update(thing, guid="other")
    with pytest.raises(AttributeError, match="nothing_like_it"):
        tx.all(Thing, nothing_like_it=1)
    with pytest.raises(AttributeError, match="name; DROP"):
        tx.all(Thing, order=("name; DROP TABLE things",))
    with pytest.raises(TypeError, match="bytes"):
        tx.all(Mark, In("data", [b"x"]))
    tx.close()
    with pytest.raises(RuntimeError, match="ended"):
        tx.get(Thing, thing.guid)


def test_values_are_never_part_of_a_statement(tx: Tx) -> None:
    evil = "'; DROP TABLE things; --"
    tx.insert(Thing(name=evil))
    assert tx.find(Thing, name=evil) is not None
    assert tx.find(Thing, In("name", [evil]), StartsWith("name", evil)) is not None


def test_a_class_without_a_table_has_no_rows() -> None:
    class Base(Record):
        guid: str = ""

    class WrongKey(Record, table="t", key=("nowhere",)):
        guid: str = ""

    with pytest.raises(TypeError, match="without table"):
        table_of(Base)
    with pytest.raises(TypeError, match="nowhere"):
        table_of(WrongKey)


def test_records_that_do_not_fit_their_table_are_named(tmp_path: Path) -> None:
    class Wrong(Record, table="things"):
        guid: str = ""
        created_at: str = ""
        updated_at: str = ""
        name: str | None = None
        size: float = 0
        extra: int = 0

    path = tmp_path / "state.db"
    connection = apsw.Connection(str(path))
    connection.execute(SCRIPT).fetchall()
    assert table_mismatches(path, [Thing, Mark]) == []
    assert [line.split(":")[0] for line in table_mismatches(path, [Wrong])] == [
        "things.extra",
        "things.name",
        "things.owner",
        "things.size",
    ]
    connection.close()
