from hypothesis import given, settings
from hypothesis import strategies as st

from paasd.router.xds.delta import TYPES, DeltaStream, Request, ResourceStore, Response
from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, LISTENER_URL, ROUTES_URL, SECRET_URL


class Envoy:
    """A model of the other side: what it has, and what it asks for when it is told something."""

    def __init__(self, store: ResourceStore, chunk: int = 100) -> None:
        self.store = store
        self.chunk = chunk
        self.has: dict[str, dict[str, bytes]] = {url: {} for url in TYPES}
        self.versions: dict[str, dict[str, str]] = {url: {} for url in self.has}
        self.order: list[tuple[str, str]] = []
        self.connect()

    def connect(self) -> None:
        self.stream = DeltaStream(self.store, self.chunk)
        self.stream.receive(Request(type_url=CLUSTER_URL, versions=dict(self.versions[CLUSTER_URL])))
        clusters = tuple(self.has[CLUSTER_URL])
        if clusters:
            known = dict(self.versions[ENDPOINTS_URL])
            self.stream.receive(Request(type_url=ENDPOINTS_URL, subscribe=clusters, versions=known))
        self.stream.receive(Request(type_url=LISTENER_URL, versions=dict(self.versions[LISTENER_URL])))
        known = dict(self.versions[ROUTES_URL])
        self.stream.receive(Request(type_url=ROUTES_URL, subscribe=("routes",), versions=known))

    def publish(self, changes: dict[str, dict[str, bytes | None]]) -> None:
        self.stream.changed(self.store.publish(changes))

    def hear(self, response: Response, error: str | None = None) -> None:
        url = response.type_url
        fresh = [name for name in response.resources if name not in self.has[url]]
        for name, resource in response.resources.items():
            self.order.append((url, name))
            self.has[url][name] = resource.body
            self.versions[url][name] = resource.version
        for name in response.removed:
            self.order.append((url, f"-{name}"))
            self.has[url].pop(name, None)
            self.versions[url].pop(name, None)
        if url == CLUSTER_URL:
            for name in response.removed:
                self.has[ENDPOINTS_URL].pop(name, None)
                self.versions[ENDPOINTS_URL].pop(name, None)
            if fresh or response.removed:
                self.stream.receive(
                    Request(type_url=ENDPOINTS_URL, subscribe=tuple(fresh), unsubscribe=tuple(response.removed))
                )
        self.stream.receive(Request(type_url=url, nonce=response.nonce, error=error))

    def run(self) -> int:
        """Talk until nothing is left to say; the number of resources sent."""
        sent = 0
        for _ in range(10_000):
            responses = self.stream.take()
            if not responses:
                return sent
            for response in responses:
                sent += len(response.resources)
                self.hear(response)
        raise AssertionError("the two never come to rest")


def both(name: str, body: bytes = b"1") -> dict[str, dict[str, bytes | None]]:
    return {CLUSTER_URL: {name: b"cluster " + body}, ENDPOINTS_URL: {name: b"endpoints " + body}}


def greeted() -> Envoy:
    """One that was told that there is nothing yet."""
    envoy = Envoy(ResourceStore())
    envoy.publish({})
    assert envoy.run() == 0
    return envoy


def test_nothing_is_answered_before_the_first_publish() -> None:
    envoy = Envoy(ResourceStore())
    assert envoy.stream.take() == []
    envoy.publish({})
    assert [response.type_url for response in envoy.stream.take()] == [CLUSTER_URL, LISTENER_URL]


def test_routes_wait_until_every_cluster_has_its_endpoints() -> None:
    envoy = greeted()
    envoy.publish({**both("a"), ROUTES_URL: {"routes": b"to a"}})
    (clusters,) = envoy.stream.take()
    assert list(clusters.resources) == ["a"]
    envoy.stream.receive(Request(type_url=CLUSTER_URL, nonce=clusters.nonce))
    assert envoy.stream.take() == []  # the cluster is known and has no endpoints yet
    envoy.stream.receive(Request(type_url=ENDPOINTS_URL, subscribe=("a",)))
    (endpoints,) = envoy.stream.take()
    assert endpoints.type_url == ENDPOINTS_URL
    assert not envoy.stream.settled
    envoy.stream.receive(Request(type_url=ENDPOINTS_URL, nonce=endpoints.nonce))
    (routes,) = envoy.stream.take()
    assert routes.type_url == ROUTES_URL
    envoy.stream.receive(Request(type_url=ROUTES_URL, nonce=routes.nonce))
    assert envoy.stream.settled


def test_a_cluster_goes_only_after_the_routes_that_led_to_it() -> None:
    envoy = Envoy(ResourceStore())
    envoy.publish({**both("a"), ROUTES_URL: {"routes": b"to a"}})
    envoy.run()
    envoy.order.clear()
    envoy.publish({CLUSTER_URL: {"a": None}, ENDPOINTS_URL: {"a": None}, ROUTES_URL: {"routes": b"to nobody"}})
    envoy.run()
    assert envoy.order.index((ROUTES_URL, "routes")) < envoy.order.index((CLUSTER_URL, "-a"))
    assert envoy.has[CLUSTER_URL] == {}
    assert envoy.stream.settled


def test_after_a_reconnect_only_the_difference_is_sent() -> None:
    store = ResourceStore()
    envoy = Envoy(store)
    for name in ("a", "b", "c"):
        envoy.publish({**both(name), ROUTES_URL: {"routes": b"all"}})
    assert envoy.run() == 7
    restarted = ResourceStore()
    envoy.store = restarted
    envoy.connect()
    for name in ("a", "b"):
        envoy.publish({**both(name), ROUTES_URL: {"routes": b"all"}})
    envoy.publish(both("d"))
    assert envoy.run() == 2
    assert set(envoy.has[CLUSTER_URL]) == {"a", "b", "d"}


def test_a_replaced_cluster_gets_its_endpoints_again() -> None:
    envoy = Envoy(ResourceStore())
    envoy.publish({**both("a"), ROUTES_URL: {"routes": b"x"}})
    envoy.run()
    envoy.order.clear()
    envoy.publish({CLUSTER_URL: {"a": b"another kind"}})
    envoy.run()
    assert envoy.order == [(CLUSTER_URL, "a"), (ENDPOINTS_URL, "a")]


def test_a_cluster_that_brings_its_endpoints_holds_nothing_up_and_listeners_arrive_unasked() -> None:
    envoy = greeted()
    envoy.publish({CLUSTER_URL: {"whole": b"x"}, ROUTES_URL: {"routes": b"x"}, LISTENER_URL: {"door": b"1"}})
    assert [one.type_url for one in envoy.stream.take()] == [CLUSTER_URL, LISTENER_URL]
    envoy.connect()
    envoy.run()
    assert envoy.stream.settled and envoy.has[LISTENER_URL] == {"door": b"1"}
    envoy.publish({LISTENER_URL: {"door": None}})
    assert not envoy.stream.settled
    envoy.run()
    assert envoy.stream.settled and envoy.has[LISTENER_URL] == {}


def test_a_refusal_is_reported_and_does_not_block_what_follows() -> None:
    envoy = greeted()
    envoy.publish({**both("bad"), ROUTES_URL: {"routes": b"x"}})
    (clusters,) = envoy.stream.take()
    envoy.stream.receive(Request(type_url=CLUSTER_URL, nonce=clusters.nonce, error="no such policy"))
    assert envoy.stream.rejections == [(CLUSTER_URL, "no such policy")]
    assert [response.type_url for response in envoy.stream.take()] == [ROUTES_URL]
    envoy.publish({CLUSTER_URL: {"bad": b"mended"}})
    assert [list(response.resources) for response in envoy.stream.take()] == [["bad"]]


def test_large_tables_come_in_pieces_one_in_flight() -> None:
    envoy = Envoy(ResourceStore(), chunk=10)
    envoy.publish({})
    envoy.run()
    names = [f"host-{number}" for number in range(35)]
    changes: dict[str, dict[str, bytes | None]] = {
        url: dict.fromkeys(names, b"x") for url in (CLUSTER_URL, ENDPOINTS_URL)
    }
    envoy.publish({**changes, ROUTES_URL: {"routes": b"x"}})
    (first,) = envoy.stream.take()
    assert len(first.resources) == 10
    assert envoy.stream.take() == []
    envoy.hear(first)
    envoy.run()
    assert envoy.stream.settled and len(envoy.has[ENDPOINTS_URL]) == 35


def test_what_is_asked_for_twice_is_answered_twice() -> None:
    envoy = Envoy(ResourceStore())
    envoy.publish({SECRET_URL: {"apps": b"pem"}})
    for _ in range(2):
        envoy.stream.receive(Request(type_url=SECRET_URL, subscribe=("apps",)))
        response = next(one for one in envoy.stream.take() if one.type_url == SECRET_URL)
        assert list(response.resources) == ["apps"]
        envoy.stream.receive(Request(type_url=SECRET_URL, nonce=response.nonce))


NAMES = st.sampled_from("abcdef")
BODIES = st.none() | st.sampled_from([b"1", b"2"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.dictionaries(NAMES, BODIES, max_size=4)),
        st.tuples(st.just("route"), st.sampled_from([b"x", b"y"])),
        st.tuples(st.just("hear"), st.integers(1, 3)),
        st.tuples(st.just("reconnect"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_whatever_happens_envoy_ends_up_with_exactly_what_is_published(steps: list[tuple[str, object]]) -> None:
    store = ResourceStore()
    envoy = Envoy(store, chunk=2)
    envoy.publish({ROUTES_URL: {"routes": b"x"}})
    for verb, value in steps:
        if verb == "publish":
            assert isinstance(value, dict)
            envoy.publish({CLUSTER_URL: dict(value), ENDPOINTS_URL: dict(value)})
        elif verb == "route":
            assert isinstance(value, bytes)
            envoy.publish({ROUTES_URL: {"routes": value}})
        elif verb == "reconnect":
            envoy.connect()
        else:
            for response in envoy.stream.take():
                envoy.hear(response)
    envoy.run()
    for url in (CLUSTER_URL, ENDPOINTS_URL, ROUTES_URL):
        assert envoy.has[url] == {name: resource.body for name, resource in store.resources[url].items()}
    assert envoy.stream.settled
