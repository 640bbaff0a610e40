"""Delta discovery as plain data: what one Envoy has, what it should have, and the next answers that bring it there.

Theory of operation. The store maps names to versioned bytes per type. A stream remembers, per type, what its Envoy was
sent. One answer per type is in flight at a time, so a burst of changes coalesces while Envoy is busy. Versions are
digests of the content: after a reconnect, also to a restarted daemon, Envoy names what it has and gets only the
difference.

Order keeps traffic whole while routes move: clusters, endpoints and secrets first; routes only when every cluster has
its endpoints; clusters that are no longer routed to are removed last. A cluster for which no endpoints are published
brings its own.
"""

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, LISTENER_URL, ROUTES_URL, SECRET_URL

Changes = dict[str, dict[str, bytes | None]]
"""What is published: encoded resources by type and name, None for one that is gone."""
TYPES = (CLUSTER_URL, ENDPOINTS_URL, SECRET_URL, LISTENER_URL, ROUTES_URL)
# Envoy asks for all there is of these, for the others by name.
_WHOLE = (CLUSTER_URL, LISTENER_URL)


class Resource(msgspec.Struct, frozen=True):
    """Encoded content and the digest that names it."""

    version: str
    body: bytes


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What Envoy said: a change of subscription, an acknowledgement (`nonce`), or a refusal (`error` set)."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    versions: Mapping[str, str] = {}
    nonce: str = ""
    error: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to send: changed resources by name, and names that are gone."""

    type_url: str
    resources: Mapping[str, Resource]
    removed: tuple[str, ...]
    nonce: str


class ResourceStore:
    """Everything that is published. Closed until the first publish, so that a restarted daemon empties no table."""

    def __init__(self) -> None:
        self.opened = False
        self.resources: dict[str, dict[str, Resource]] = {type_url: {} for type_url in TYPES}

    def publish(self, changes: Changes) -> dict[str, list[str]]:
        """Store `changes`, open the store; return the names that differ."""
        self.opened = True
        differing: dict[str, list[str]] = {}
        for type_url, bodies in changes.items():
            stored = self.resources[type_url]
            for name, body in bodies.items():
                if body is None:
                    if stored.pop(name, None) is None:
                        continue
                else:
                    version = hashlib.blake2b(body, digest_size=8).hexdigest()
                    if name in stored and stored[name].version == version:
                        continue
                    stored[name] = Resource(version, body)
                differing.setdefault(type_url, []).append(name)
        return differing


class _Subscription:
    """One type on one stream. `sent` holds the version that Envoy was given; a name in `pending` is to be compared."""

    def __init__(self, wildcard: bool) -> None:
        self.wildcard = wildcard
        self.names: set[str] = set()
        self.sent: dict[str, str] = {}
        self.pending: dict[str, None] = {}
        self.in_flight: str | None = None
        self.unanswered = wildcard

    def wants(self, name: str) -> bool:
        return self.wildcard or name in self.names


class DeltaStream:
    """The state of one Envoy's stream. `receive` and `changed` take news, `take` gives what may be sent now."""

    def __init__(self, store: ResourceStore, chunk: int) -> None:
        self._store = store
        self._chunk = chunk
        self._subscriptions: dict[str, _Subscription] = {}
        self._cold: set[str] = set()
        self._nonce = 0
        self.sent_count = 0
        self.rejections: list[tuple[str, str]] = []

    def receive(self, request: Request) -> None:
        """Note a request of Envoy's."""
        if request.type_url not in TYPES:
            return
        subscription = self._subscriptions.get(request.type_url)
        if subscription is None:
            subscription = _Subscription(wildcard=request.type_url in _WHOLE)
            subscription.sent.update(request.versions)
            self._subscriptions[request.type_url] = subscription
            if subscription.wildcard:
                known = dict.fromkeys(request.versions)
                subscription.pending.update(known | dict.fromkeys(self._store.resources[request.type_url]))
        if request.nonce and request.nonce == subscription.in_flight:
            subscription.in_flight = None
            if request.error is not None:
                self._refused(request)
        self._subscribe(subscription, request)

    def _subscribe(self, subscription: _Subscription, request: Request) -> None:
        for name in request.subscribe:
            if name in subscription.names:
                # Envoy asks again for what it dropped: it needs an answer although nothing changed.
                subscription.sent.pop(name, None)
            subscription.names.add(name)
            subscription.pending[name] = None
        for name in request.unsubscribe:
            subscription.names.discard(name)
            subscription.sent.pop(name, None)
            subscription.pending.pop(name, None)
        if request.type_url == ENDPOINTS_URL:
            self._cold.difference_update(request.subscribe)

    def _refused(self, request: Request) -> None:
        self.rejections.append((request.type_url, request.error or ""))
        if request.type_url == CLUSTER_URL:
            # Refused clusters will never ask for endpoints; routes must not wait for them.
            self._cold.clear()

    def changed(self, names: Mapping[str, Iterable[str]]) -> None:
        """Note names that the store says differ."""
        for type_url, changed in names.items():
            subscription = self._subscriptions.get(type_url)
            if subscription is not None:
                subscription.pending.update(dict.fromkeys(name for name in changed if subscription.wants(name)))

    @property
    def settled(self) -> bool:
        """Whether Envoy has acknowledged all of what is published."""
        silent = not self._store.resources[LISTENER_URL] and LISTENER_URL not in self._subscriptions
        wanted = (CLUSTER_URL, ROUTES_URL) if silent else (CLUSTER_URL, LISTENER_URL, ROUTES_URL)
        return self._store.opened and all(map(self._has_all, wanted)) and self._warm()

    def _has_all(self, type_url: str) -> bool:
        subscription = self._subscriptions.get(type_url)
        return subscription is not None and not (
            subscription.pending or subscription.in_flight or subscription.unanswered
        )

    def _warm(self) -> bool:
        """Whether every cluster sent so far is in use, that is, has its endpoints."""
        clusters = self._subscriptions.get(CLUSTER_URL)
        if clusters is None or clusters.in_flight or clusters.unanswered or self._cold:
            return False
        stored = self._store.resources[CLUSTER_URL]
        if any(name in stored for name in clusters.pending):
            return False
        endpoints = self._subscriptions.get(ENDPOINTS_URL)
        return endpoints is None or not (endpoints.pending or endpoints.in_flight)

    def take(self) -> list[Response]:
        """The answers that may be sent now, at most one per type."""
        if not self._store.opened:
            return []
        responses = []
        # Clusters once more at the end: those to remove may go as soon as the routes turn out to be current.
        for type_url in (*TYPES, CLUSTER_URL):
            subscription = self._subscriptions.get(type_url)
            if subscription is None or subscription.in_flight is not None:
                continue
            if type_url == ROUTES_URL and not self._warm():
                continue
            response = self._answer(type_url, subscription)
            if response is not None:
                responses.append(response)
        return responses

    def _answer(self, type_url: str, subscription: _Subscription) -> Response | None:
        stored = self._store.resources[type_url]
        resources: dict[str, Resource] = {}
        removed: list[str] = []
        may_remove = type_url != CLUSTER_URL or self._routes_current()
        for name in list(subscription.pending):
            if len(resources) + len(removed) >= self._chunk:
                break
            resource = stored.get(name)
            if resource is None:
                if not may_remove:
                    continue
                if subscription.sent.pop(name, None) is not None or name in subscription.names:
                    removed.append(name)
            elif subscription.sent.get(name) != resource.version:
                resources[name] = resource
            del subscription.pending[name]
        if not (resources or removed or subscription.unanswered):
            return None
        if type_url == CLUSTER_URL:
            self._clusters_sent(subscription, resources, removed)
        subscription.sent.update({name: resource.version for name, resource in resources.items()})
        subscription.unanswered = False
        self._nonce += 1
        self.sent_count += len(resources)
        subscription.in_flight = str(self._nonce)
        return Response(type_url=type_url, resources=resources, removed=tuple(removed), nonce=str(self._nonce))

    def _clusters_sent(
        self, clusters: _Subscription, resources: Mapping[str, Resource], removed: Iterable[str]
    ) -> None:
        endpoints = self._subscriptions.get(ENDPOINTS_URL)
        published = self._store.resources[ENDPOINTS_URL]
        for name in resources:
            if name not in clusters.sent:
                if name in published:
                    self._cold.add(name)
            elif endpoints is not None and name in endpoints.names:
                # A replaced cluster warms anew, and Envoy does not ask twice for endpoints that it subscribes to.
                endpoints.sent.pop(name, None)
                endpoints.pending[name] = None
        self._cold.difference_update(removed)

    def _routes_current(self) -> bool:
        routes = self._subscriptions.get(ROUTES_URL)
        return routes is None or not (routes.pending or routes.in_flight)
