"""Query strings: lists, empty values, encoded commas, pages, refusals."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.api.query import PART_LIMIT, QuerySpec, page_link, parse_query, split_values, total_pages
from paasd.api.selector import parse_selector
from paasd.errors import BadQuery

SPEC = QuerySpec(
    filters=("names", "hosts", "paths", "guids"),
    order_by=("created_at", "name"),
    include=("space",),
    pages=True,
    labels=True,
    times=True,
)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), min_size=1, max_size=20)


def twice(value: str) -> str:
    """As the CLI sends a value that may have commas in it: those are encoded twice, all else once."""
    return quote(value.replace("%", "%25").replace(",", "%2C"), safe="")


@given(st.lists(names, min_size=1, max_size=5))
def test_values_with_commas_survive_a_comma_list(values: list[str]) -> None:
    assert split_values(",".join(twice(value) for value in values)) == tuple(values)


def test_present_but_empty_is_unlike_absent() -> None:
    query = parse_query("hosts=r9&paths=", SPEC)
    assert query.has("paths")
    assert query.values("paths") == ("",)
    assert not parse_query("hosts=r9", SPEC).has("paths")


@pytest.mark.parametrize(
    "raw",
    [
        "versions=2",
        "page=0",
        "page=x",
        "per_page=5001",
        "per_page=0",
        "order_by=size",
        "include=domain",
        "created_ats[near]=2026-01-01T00:00:00Z",
        "created_ats=yesterday",
        "created_ats[gt]=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z",
        "names[not]=x",
        "fields[space]=guid",
    ],
)
def test_what_is_not_understood_is_refused(raw: str) -> None:
    with pytest.raises(BadQuery):
        parse_query(raw, SPEC)


@pytest.mark.parametrize("name", ["created_ats", "updated_ats[gt]"])
def test_more_parts_than_a_statement_takes_are_refused(name: str) -> None:
    bounds = [f"{name}=2026-01-01T00:00:00Z"] * 50
    assert len(parse_query("&".join(bounds), SPEC).times) == 50
    with pytest.raises(BadQuery, match="at most 50 parts, not 51"):
        parse_query("&".join([*bounds, bounds[0]]), SPEC)
    assert len(parse_selector(",".join("a" * 50))) == 50
    with pytest.raises(BadQuery, match="label_selector can have at most 50"):
        parse_selector(",".join("a" * 51))
    assert len(parse_selector(f"a in ({','.join('b' * 5000)})")) == 1, "values of one part are one condition"


def test_the_refusal_names_the_parameter_and_the_valid_ones() -> None:
    with pytest.raises(BadQuery) as caught:
        parse_query("versions=2", SPEC)
    assert "Unknown query parameter(s): 'versions'" in caught.value.detail
    assert "'names'" in caught.value.detail


def test_order_time_bounds_and_pages_are_read() -> None:
    query = parse_query("order_by=-name&created_ats[lte]=2026-01-01T00:00:00Z&page=3&per_page=5000", SPEC)
    assert query.order_by == ("name", True)
    assert [(one.column, one.operator) for one in query.times] == [("created_at", "lte")]
    assert (query.page, query.per_page) == (3, 5000)


@given(st.integers(0, 10_000), st.integers(1, 5000))
def test_every_row_is_on_a_page_and_there_is_always_one(total: int, per_page: int) -> None:
    pages = total_pages(total, per_page)
    assert pages >= 1
    assert pages * per_page >= total
    assert (pages - 1) * per_page < total or pages == 1


@given(st.lists(names, min_size=1, max_size=3), st.integers(1, 9))
def test_links_of_other_pages_repeat_every_filter(values: list[str], page: int) -> None:
    raw = f"names={','.join(twice(value) for value in values)}&paths=&page=1&per_page=2&order_by=-name"
    first = parse_query(raw, SPEC)
    other = parse_query(page_link(first, page), SPEC)
    assert (other.filters, other.order_by, other.per_page) == (first.filters, first.order_by, first.per_page)
    assert other.page == page


def test_label_selectors() -> None:
    assert parse_selector("env=prod,tier in (a, b),!old,team,x!=y,example.org/k notin (c)") == [
        ("env", "in", ("prod",)),
        ("tier", "in", ("a", "b")),
        ("old", "missing", ()),
        ("team", "exists", ()),
        ("x", "notin", ("y",)),
        ("example.org/k", "notin", ("c",)),
    ]
    assert len(parse_selector(",".join(["a"] * PART_LIMIT))) == PART_LIMIT
    for bad in ("", "a in b", "=x", "a=b=c", "a,,b", "a in (b", ",".join(["a"] * (PART_LIMIT + 1))):
        with pytest.raises(BadQuery):
            parse_selector(bad)
