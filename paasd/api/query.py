"""Query strings the way Cloud Foundry reads them. Pure.

Comma lists (OR inside one, AND between parameters), a comma inside a value encoded twice, present-but-empty unlike
absent, `created_ats[gt]=`, `order_by=-name`, pages. A parameter that the resource does not declare is refused: to
ignore it would show a client the wrong rows.
"""

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sized
from typing import Any
from urllib.parse import unquote, unquote_plus

import msgspec

from paasd.api.numbers import whole
from paasd.errors import BadQuery

DEFAULT_PER_PAGE = 50
MAX_PER_PAGE = 5000
MAX_PAGE = 9_000_000_000
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
TIME_FILTERS = ("created_ats", "updated_ats")
PART_LIMIT = 50
"""Parts of one parameter that become a condition each: SQLite takes a statement of limited depth."""
TIME_OPERATORS = ("gt", "gte", "lt", "lte")
COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class QuerySpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one route accepts. `filters` are comma lists, those in `negated` may also be sent as `name[not]`; `plain`
    are taken as they stand.
    """

    filters: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    negated: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = {}
    pages: bool = False
    labels: bool = False
    times: bool = False

    def names(self) -> list[str]:
        """Every parameter that is accepted, for the text of the refusal."""
        found = [*self.filters, *self.plain]
        found += [f"{name}[not]" for name in self.negated]
        found += ["page", "per_page"] if self.pages else []
        found += ["order_by"] if self.order_by else []
        found += ["include"] if self.include else []
        found += ["label_selector"] if self.labels else []
        found += list(TIME_FILTERS) if self.times else []
        found += [f"fields[{name}]" for name in self.fields]
        return sorted(found)


class TimeBound(msgspec.Struct, frozen=True):
    """One `created_ats[gt]=...`; operator "" with several values means one of these."""

    column: str
    operator: str
    values: tuple[str, ...]

    def holds(self, time: str) -> bool:
        """Whether a resource that is no row, and was made or changed then, is among what is asked for."""
        compare = COMPARE.get(self.operator)
        return time in self.values if compare is None else compare(time, self.values[0])


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A query string as parsed. `raw` are the pairs as sent, still encoded, for the links of other pages."""

    filters: Mapping[str, tuple[str, ...]] = {}
    negated: Mapping[str, tuple[str, ...]] = {}
    plain: Mapping[str, str] = {}
    order_by: tuple[str, bool] | None = None
    include: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = {}
    label_selector: str | None = None
    times: tuple[TimeBound, ...] = ()
    page: int = 1
    per_page: int = DEFAULT_PER_PAGE
    raw: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether a list filter was sent, also when it was sent empty."""
        return name in self.filters

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a list filter; () when absent."""
        return self.filters.get(name, ())


def split_values(raw: str) -> tuple[str, ...]:
    """A comma list: decoded once before the split and once after, so that %252C is a comma inside a value."""
    return tuple(unquote(piece) for piece in unquote_plus(raw).split(","))


def parse_query(raw: str, spec: QuerySpec) -> Query:
    """Read the query string `raw` for a route that accepts `spec`. Raises BadQuery naming the parameter."""
    pairs = [piece for piece in raw.split("&") if piece]
    found: dict[str, Any] = {"raw": tuple(pairs)}
    filters: dict[str, tuple[str, ...]] = {}
    negated: dict[str, tuple[str, ...]] = {}
    plain: dict[str, str] = {}
    fields: dict[str, tuple[str, ...]] = {}
    times: list[TimeBound] = []
    unknown: list[str] = []
    for pair in pairs:
        encoded, _, value = pair.partition("=")
        name = unquote_plus(encoded)
        base, bracket, inner = name.partition("[")
        inner = inner.removesuffix("]")
        if name in spec.filters:
            filters[name] = split_values(value)
        elif inner == "not" and base in spec.negated:
            negated[base] = split_values(value)
        elif name in spec.plain:
            plain[name] = unquote_plus(value)
        elif spec.times and base in TIME_FILTERS:
            times.append(_time_bound(base, inner if bracket else "", split_values(value)))
        elif bracket and base == "fields" and inner in spec.fields:
            fields[inner] = _allowed(f"fields[{inner}]", split_values(value), spec.fields[inner])
        elif name == "page" and spec.pages:
            found["page"] = _number("Page", value, MAX_PAGE)
        elif name == "per_page" and spec.pages:
            found["per_page"] = _number("Per page", value, MAX_PER_PAGE)
        elif name == "order_by" and spec.order_by:
            found["order_by"] = _order(unquote_plus(value), spec.order_by)
        elif name == "include" and spec.include:
            found["include"] = _allowed("include", split_values(value), spec.include)
        elif name == "label_selector" and spec.labels:
            found["label_selector"] = unquote_plus(value)
        else:
            unknown.append(name)
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        valid = ", ".join(f"'{name}'" for name in spec.names())
        raise BadQuery(
            f"The query parameter is invalid: Unknown query parameter(s): {names}. Valid parameters are: {valid}"
        )
    check_parts("created_ats and updated_ats", times)
    lists = {"filters": filters, "negated": negated, "plain": plain, "fields": fields, "times": tuple(times)}
    return msgspec.convert({**found, **lists}, Query)


def check_parts(name: str, parts: Sized) -> None:
    """Raise BadQuery for more than a statement takes."""
    if len(parts) > PART_LIMIT:
        raise BadQuery(f"The query parameter is invalid: {name} can have at most {PART_LIMIT} parts, not {len(parts)}")


def parse_any(raw: str) -> Query:
    """For calls that are not Cloud Foundry's own: every parameter as it stands, the last of a name counts."""
    pairs = tuple(piece for piece in raw.split("&") if piece)
    parts = [pair.partition("=") for pair in pairs]
    return Query(raw=pairs, plain={unquote_plus(name): unquote_plus(value) for name, _, value in parts})


def page_link(query: Query, page: int) -> str:
    """The query string of another page: everything that was sent, with this page number."""
    kept = [pair for pair in query.raw if pair.partition("=")[0] not in ("page", "per_page")]
    return "&".join([f"page={page}", f"per_page={query.per_page}", *kept])


def total_pages(total: int, per_page: int) -> int:
    """Number of pages; an empty list still has one."""
    return max(1, -(-total // per_page))


def _number(label: str, value: str, most: int) -> int:
    if (found := whole(value, 1, most)) is None:
        bound = (
            f"{label} must be between 1 and {most}" if label == "Per page" else f"{label} must be a positive integer"
        )
        raise BadQuery(f"The query parameter is invalid: {bound}")
    return found


def _order(value: str, allowed: Collection[str]) -> tuple[str, bool]:
    descending = value.startswith("-")
    name = value[1:] if value[:1] in "+-" else value
    # An unencoded plus sign arrives as a space.
    name = name.strip()
    if name not in allowed:
        names = ", ".join(f"'{one}'" for one in allowed)
        raise BadQuery(f"The query parameter is invalid: Order by can only be: {names}")
    return name, descending


def _allowed(parameter: str, values: tuple[str, ...], allowed: Collection[str]) -> tuple[str, ...]:
    for value in values:
        if value not in allowed:
            names = ", ".join(f"'{one}'" for one in allowed)
            raise BadQuery(
                f"The query parameter is invalid: Invalid included resource: '{value}' for {parameter}."
                f" Valid included resources are: {names}"
            )
    return values


def _time_bound(name: str, relation: str, values: tuple[str, ...]) -> TimeBound:
    label = name.replace("_", " ").capitalize()
    if relation and relation not in TIME_OPERATORS:
        raise BadQuery(f"The query parameter is invalid: {label} has an invalid relational operator: '{relation}'")
    if relation and len(values) != 1:
        raise BadQuery(
            f"The query parameter is invalid: {label} only accepts one value when using an inequality filter"
        )
    for value in values:
        if not TIMESTAMP.fullmatch(value):
            raise BadQuery(
                f"The query parameter is invalid: {label} has an invalid timestamp format."
                " Timestamps should be formatted as 'YYYY-MM-DDThh:mm:ssZ'"
            )
    return TimeBound(name.removesuffix("s"), relation, values)
