"""Which host names are free: a full name belongs to one organization, of whatever domain and host it is made.

`x.y` on `example.org` and `x` on `y.example.org` are one name. It belongs to the longest domain that ends it, then to
whoever has its oldest route. What is asked here is asked again of what others make later, so the order does not matter.
"""

from collections.abc import Iterable

from paasd.errors import Unprocessable
from paasd.model.records import Domain, Route, Space
from paasd.state import In, ReadTx


def full_name(domain: Domain, host: str) -> str:
    """The host name of a route; `*` as host gives a wildcard."""
    return (f"{host}.{domain.name}" if host else domain.name).lower()


def normal_path(path: str) -> str:
    """`path` as routers compare it: no slash at its end, empty for the root."""
    return path.rstrip("/")


def check_domain_is_free(tx: ReadTx, name: str, organization_guid: str | None, reserved: Iterable[str]) -> None:
    """Raise Unprocessable unless the organization (None: everybody) may have the domain and all names below it.

    Of a private name below it is not said which: who asks does not know that name, and it is not theirs.
    """
    own = {one.lower() for one in reserved}
    private = organization_guid is not None
    if name in own or (private and _is_below(name, own)):
        raise Unprocessable(f'The domain name "{name}" is reserved by the platform.')
    others = [one for one in tx.all(Domain, order=("name",)) if one.organization_guid != organization_guid]
    below = [one for one in others if _is_below(one.name.lower(), [name])]
    in_the_way = ["a name below it" if one.organization_guid else f'"{one.name}"' for one in below]
    in_the_way += [f'"{one.name}"' for one in others if one.organization_guid and _is_below(name, [one.name.lower()])]
    in_the_way += [f'"{one}"' for one in sorted(own) if private and _is_below(one, [name])]
    if in_the_way:
        raise Unprocessable(
            f'The domain name "{name}" cannot be created because {in_the_way[0]} is already reserved by another domain'
        )
    if routes_named(tx, name):
        raise Unprocessable(f'The domain name "{name}" cannot be created because it is already used as a route')


def check_host_is_free(tx: ReadTx, domain: Domain, host: str, path: str, space: Space, reserved: Iterable[str]) -> None:
    """Raise Unprocessable unless the space may have a route of this name, on a domain that it may use."""
    holder = check_name_is_free(tx, domain, host, path, reserved)
    if holder is not None and space.guid not in {one.guid for one in spaces_beside(tx, domain, holder)}:
        raise Unprocessable("Routes for this host and domain have been reserved for another space.")


def check_name_is_free(tx: ReadTx, domain: Domain, host: str, path: str, reserved: Iterable[str]) -> Route | None:
    """Raise Unprocessable unless some space may have a route of this name; the oldest route of its other paths."""
    name, private = full_name(domain, host), domain.organization_guid is not None
    own = {one.lower() for one in reserved}
    if name in own or (private and _is_below(name, own)):
        raise Unprocessable(f"Route '{name}' is reserved by the platform; choose another host.")
    nearest = max(tx.all(Domain, In("name", (name, *_parents(name)))), key=lambda one: len(one.name))
    foreign = nearest.organization_guid != domain.organization_guid
    if nearest.guid != domain.guid and (foreign or nearest.name.lower() == name):
        raise Unprocessable(f"Route conflicts with domain '{nearest.name}'.")
    holders = routes_named(tx, name)
    if any(normal_path(one.path) == normal_path(path) for one in holders):
        raise Unprocessable(taken_text(domain, host, path))
    return next(iter(holders), None)


def spaces_beside(tx: ReadTx, domain: Domain, holder: Route) -> list[Space]:
    """Those that may have other paths of the name of a route: on a domain of its organization, all its spaces may."""
    owner = tx.get(Space, holder.space_guid)
    if owner is None or domain.organization_guid is None:
        return [] if owner is None else [owner]
    return tx.all(Space, organization_guid=owner.organization_guid)


def routes_named(tx: ReadTx, name: str) -> list[Route]:
    """All routes of a full name, whatever their domains, oldest first: the first one's space has the name."""
    hosts = {name: "", **{parent: name.removesuffix(f".{parent}") for parent in _parents(name)}}
    found = [
        route
        for domain in tx.all(Domain, In("name", hosts))
        for route in tx.all(Route, domain_guid=domain.guid, host=hosts[domain.name.lower()])
    ]
    return sorted(found, key=lambda route: (route.created_at, route.guid))


def taken_text(domain: Domain, host: str, path: str) -> str:
    """How Cloud Foundry says that a route exists; its command line looks for the first words."""
    if not host:
        tail = f" for domain '{domain.name}'." if not path else f" with path '{path}' for domain '{domain.name}'."
        return "Route already exists" + tail
    if not path:
        return f"Route already exists with host '{host}' for domain '{domain.name}'."
    return f"Route already exists with host '{host}' and path '{path}' for domain '{domain.name}'."


def _parents(name: str) -> list[str]:
    """`b.c` and `c` of `a.b.c`."""
    labels = name.split(".")
    return [".".join(labels[at:]) for at in range(1, len(labels))]


def _is_below(name: str, others: Iterable[str]) -> bool:
    return any(name.endswith(f".{other}") for other in others)
