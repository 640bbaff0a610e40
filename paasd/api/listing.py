"""Lists: one declaration per resource, one function that filters, scopes, orders, pages and presents all of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from paasd.actions.visibility import may_read_secrets, need_visible, visible
from paasd.api.answers import Answer, Included, Link, Links, MetadataShown, Page, Pagination, Reference, Related
from paasd.api.beside import LONG, beside_if_long
from paasd.api.call import Call, Reply, Urls
from paasd.api.query import Query, QuerySpec, TimeBound, page_link, total_pages
from paasd.api.selector import selector_conditions
from paasd.auth import Caller
from paasd.errors import BadQuery
from paasd.model.metadata import read_metadata
from paasd.state import And, Condition, Ge, Gt, In, Le, Lt, Not, ReadTx, Record

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=Answer)


class View(msgspec.Struct, frozen=True):
    """What presenters read from: a snapshot, the client's address for links, the caller."""

    tx: ReadTx
    urls: Urls
    caller: Caller
    call: Call


class PartOfApp(Protocol):
    """Rows of what belongs to an app."""

    @property
    def app_guid(self) -> str: ...


Filter = Callable[[View, tuple[str, ...]], Condition]
Include = Callable[[View, Sequence[Any]], tuple[str, Sequence[Any]]]


def column(name: str) -> Filter:
    """A filter on a column of the record itself."""
    return lambda _view, values: In(name, values)


def flag(name: str, parameter: str = "") -> Filter:
    """A filter on a boolean column, called `parameter` where that is not the column's name. It raises BadQuery."""
    return lambda _view, values: In(name, [truth(parameter or name, value) for value in values])


def truth(parameter: str, value: str) -> bool:
    """`true` or `false`. Raises BadQuery: to guess would show a client the wrong rows."""
    if value not in ("true", "false"):
        label = parameter.replace("_", " ").capitalize()
        raise BadQuery(f"The query parameter is invalid: {label} must be 'true' or 'false'")
    return value == "true"


class Listing(msgspec.Struct, Generic[R, S], frozen=True, kw_only=True):
    """How a resource is listed. `filters` beside guids, created_ats, updated_ats and label_selector.

    `widening` are plain parameters with which a row brings many others along.
    """

    record: type[R]
    present: Callable[[View, Sequence[R]], list[S]]
    filters: Mapping[str, Filter] = {}
    order_by: Mapping[str, str] = {}
    default_order: tuple[str, ...] = ("created_at",)
    includes: Mapping[str, Include] = {}
    fields: Mapping[str, tuple[str, ...]] = {}
    plain: tuple[str, ...] = ()
    widening: frozenset[str] = frozenset()
    negated: tuple[str, ...] = ()
    labels: bool = True

    @property
    def query(self) -> QuerySpec:
        """The query parameters of the list."""
        return QuerySpec(
            filters=("guids", *self.filters),
            plain=self.plain,
            negated=self.negated,
            order_by=("created_at", "updated_at", *self.order_by),
            include=tuple(self.includes),
            fields=self.fields,
            pages=True,
            labels=self.labels,
            times=True,
        )

    @property
    def single(self) -> QuerySpec:
        """The query parameters of one resource: what may be included."""
        return QuerySpec(include=tuple(self.includes), fields=self.fields)


def conditions_of(view: View, listing: Listing[Any, Any], query: Query) -> list[Condition]:
    """What the query string demands, as conditions."""
    made: list[Condition] = []
    for name, values in query.filters.items():
        made.append(In("guid", values) if name == "guids" else listing.filters[name](view, values))
    made += [Not(listing.filters[name](view, values)) for name, values in query.negated.items()]
    made += [_time_condition(listing, bound) for bound in query.times]
    if query.label_selector is not None:
        made += selector_conditions(query.label_selector)
    return made


async def list_reply(call: Call, listing: Listing[R, S], *within: Condition) -> Reply[Page[S]]:
    """The page that the query asks for, of what is `within` and what the caller may see; a long one beside the loop."""
    wide = not listing.widening.isdisjoint(call.query.plain)
    return await beside_if_long(call, LONG if wide else call.query.per_page, partial(_page, call, listing, within))


def _page(call: Call, listing: Listing[R, S], within: Sequence[Condition]) -> Reply[Page[S]]:
    query = call.query
    with call.context.database.read() as tx:
        view = View(tx, call.urls, call.caller, call)
        wanted = And(*conditions_of(view, listing, query), *within, *visible(tx, call.caller, listing.record))
        total = tx.count(listing.record, wanted)
        rows = tx.all(
            listing.record,
            wanted,
            order=_order(listing, query),
            limit=query.per_page,
            offset=(query.page - 1) * query.per_page,
        )
        shown, more = listing.present(view, rows), included(view, listing, rows)
    return Reply(body=Page(pagination=pagination(call, total), resources=shown, included=more))


def need_row(call: Call, record: type[R]) -> R:
    """The row whose guid the path has, if the caller may see it. Raises NotFound."""
    with call.context.database.read() as tx:
        return need_visible(tx, call.caller, record, call.path["guid"])


def found_reply(call: Call, listing: Listing[R, S]) -> Reply[S]:
    """The resource that the path names, if the caller may see it. Raises NotFound."""
    with call.context.database.read() as tx:
        return one_reply(call, listing, need_visible(tx, call.caller, listing.record, call.path["guid"]), tx)


def reply_of(call: Call, listing: Listing[R, S], row: R, status: int = 200) -> Reply[S]:
    """A resource that was just made or changed."""
    with call.context.database.read() as tx:
        return one_reply(call, listing, row, tx, status)


def one_reply(call: Call, listing: Listing[R, S], row: R, tx: ReadTx, status: int = 200) -> Reply[S]:
    """One resource, with what the query asks to include."""
    view = View(tx, call.urls, call.caller, call)
    shown, more = listing.present(view, [row])[0], included(view, listing, [row])
    if more is not msgspec.UNSET:
        msgspec.structs.force_setattr(shown, "included", more)
    return Reply(status=status, body=shown)


def part_reply(call: Call, present: Callable[..., list[S]], row: PartOfApp, tx: ReadTx, status: int = 200) -> Reply[S]:
    """A part of an app, with its commands for those who may read the app's secrets: `present` takes `redact`."""
    view = View(tx, call.urls, call.caller, call)
    may_read = may_read_secrets(tx, call.caller, row.app_guid)
    return Reply(status=status, body=present(view, [row], redact=not may_read)[0])


def included(view: View, listing: Listing[R, S], rows: Sequence[R]) -> Included | msgspec.UnsetType:
    """The `included` member, where something was asked for."""
    wanted = view.call.query.include
    if not wanted:
        return msgspec.UNSET
    found: dict[str, dict[str, Any]] = {}
    for name in wanted:
        key, resources = listing.includes[name](view, rows)
        found.setdefault(key, {}).update({resource.guid: resource for resource in resources})
    return Included(**{key: list(resources.values()) for key, resources in found.items()})


def pagination(call: Call, total: int) -> Pagination:
    """The `pagination` member; its links repeat every parameter that was sent."""
    query = call.query
    pages = total_pages(total, query.per_page)
    address = call.urls.base + call.request.path

    def link(page: int) -> Link | None:
        return Link(href=f"{address}?{page_link(query, page)}") if 1 <= page <= pages else None

    return Pagination(
        total_results=total,
        total_pages=pages,
        first=link(1),
        last=link(pages),
        next=link(query.page + 1),
        previous=link(query.page - 1),
    )


def plain_list(call: Call, resources: Sequence[S]) -> Reply[Page[S]]:
    """A short list that does not come from a table, paged like the others."""
    query = call.query
    start = (query.page - 1) * query.per_page
    shown = list(resources[start : start + query.per_page])
    return Reply(body=Page(pagination=pagination(call, len(resources)), resources=shown))


def common(view: View, rows: Sequence[Any], links: Callable[[Any], Links]) -> list[dict[str, Any]]:
    """guid, times, metadata and links of each row: what a `Described` has; presenters add the rest."""
    metadata = read_metadata(view.tx, [row.guid for row in rows])
    return [
        {
            "guid": row.guid,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
            "metadata": MetadataShown(labels=metadata[row.guid].labels, annotations=metadata[row.guid].annotations),
            "links": links(row),
        }
        for row in rows
    ]


def to_one(guid: str | None) -> Related:
    """A relationship to one resource or to none."""
    return Related(data=None if guid is None else Reference(guid=guid))


def _order(listing: Listing[Any, Any], query: Query) -> tuple[str, ...]:
    if query.order_by is None:
        return listing.default_order
    name, descending = query.order_by
    sign = "-" if descending else ""
    return (sign + listing.order_by.get(name, name),)


def _time_condition(listing: Listing[Any, Any], bound: TimeBound) -> Condition:
    # What never changes shows its beginning as both times.
    column = bound.column if bound.column in listing.record.__struct_fields__ else "created_at"
    match bound.operator:
        case "gt":
            return Gt(column, bound.values[0])
        case "gte":
            return Ge(column, bound.values[0])
        case "lt":
            return Lt(column, bound.values[0])
        case "lte":
            return Le(column, bound.values[0])
        case _:
            return In(column, bound.values)
