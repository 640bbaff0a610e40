"""Attempts 71 to 76: calls of others, names of others, tasks and sidecars, labels, and the router's connections."""

import socket
import time
from contextlib import ExitStack

import pytest

from paasd.sandbox.network import links
from tests.node.harness import HELLO

from .stage import Stage
from .test_69_reach import REACH, an_app, api, named_inside, policy, tenant

pytestmark = pytest.mark.root
NAME = "canary.apps.internal"


def test_71_calls_of_others_cannot_be_made_in_their_name(stage: Stage) -> None:
    """As one who had taken over the kernel's end of the link, with the address of an app that may call."""
    canary = stage.run(stage.node.app, "canary")["guid"]
    namespaces = {one.address: one.netns_path for one in stage.node.node.sandbox.network.list().values()}

    def call(source: str, target: str) -> str:
        def work() -> str:
            forged = source not in [address for address in namespaces if namespaces[address] == path]
            with links.netlink() as ip:
                if forged:
                    ip.addr("add", index=1, address=source, prefixlen=32)
            try:
                with socket.socket() as sock:
                    sock.settimeout(1)
                    sock.bind((source, 0))
                    sock.connect((target, 8080))
            except OSError as error:
                return type(error).__name__
            finally:
                with links.netlink() as ip:
                    if forged:
                        ip.addr("delete", index=1, address=source, prefixlen=32)
            return "ok"

        return links.in_namespace(work, path)

    with (
        an_app(stage, "caller") as caller,
        an_app(stage, "other") as other,
        named_inside(stage, "canary", canary),
        tenant(stage, caller=caller) as allowed,
        tenant(stage, caller=other) as stranger,
        policy(stage, caller, canary),
    ):
        namespaces |= {one.address: one.netns_path for one in stage.node.node.sandbox.network.list().values()}
        target = stage.until(
            lambda: stage.probe(REACH, allowed, targets=[], names=[NAME]), lambda one: one[NAME] != "unknown"
        )[NAME]
        path = namespaces[allowed.address]
        assert call(allowed.address, target) == "ok"
        path = namespaces[stranger.address]
        assert call(stranger.address, target) != "ok"
        assert call(allowed.address, target) != "ok", "its address on another one's link"
        assert call("169.254.1.1", target) != "ok"
        path = namespaces[allowed.address]
        assert call(allowed.address, target) == "ok", "and the true one still may"


QUESTIONS = """
import struct
def question(name, kind, flags=0x0100, extra=b""):
    labels = b"".join(bytes([len(part)]) + part for part in name.encode("latin-1").split(b".") if part)
    return struct.pack("!6H", 4660, flags, 1, 0, 0, 0) + labels + b"\\0" + struct.pack("!2H", kind, 1) + extra
# One socket for all, for each would be a connection more, of which an instance has few.
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.3)
sock.connect(("169.254.1.1", 53))
number = 0
def ask(wire):
    global number
    number += 1
    sock.send(struct.pack("!H", number) + wire[2:])
    answer = b""
    while answer[:2] != struct.pack("!H", number):
        try:
            answer = sock.recv(4096)
        except OSError:
            return "silence"
    code, answers = struct.unpack("!H", answer[2:4])[0] & 15, struct.unpack("!H", answer[6:8])[0]
    return f"code {code}, {answers} answers"
for name in names:
    for kind in kinds:
        found[f"{name} {kind}"] = ask(question(name, kind))
for index, wire in enumerate(broken):
    found[f"broken {index}"] = ask(wire)
# As long as a program waits that asks once.
sock.settimeout(5)
found["still"] = ask(question("localhost", 1))
"""


def test_72_the_resolver_tells_nothing_of_others_however_it_is_asked(stage: Stage) -> None:
    canary = stage.run(stage.node.app, "canary")["guid"]
    own = ".".join(reversed(stage.neighbour.address.split(".")))
    kinds = {
        "A": 1,
        "NS": 2,
        "CNAME": 5,
        "SOA": 6,
        "PTR": 12,
        "TXT": 16,
        "AAAA": 28,
        "SRV": 33,
        "AXFR": 252,
        "ANY": 255,
    }
    names = [NAME, "CaNaRy.ApPs.InTeRnAl", "apps.internal", "*.apps.internal", f"{canary}.apps.internal",
             f"0.{NAME}", "canary.apps.internal.apps.internal", f"{own}.in-addr.arpa",
             "_http._tcp.canary.apps.internal", "canary\0.apps.internal", "version.bind"]  # fmt: skip
    broken = [b"", b"\0" * 12, b"\xff" * 512, bytes.fromhex("123401000001000000000000c00c00010001"),
              bytes.fromhex("12340100ffff000000000000") + b"\x3f" * 500,
              bytes.fromhex("1234210000010000000000000161000001")]  # fmt: skip
    with (
        an_app(stage, "caller") as caller,
        an_app(stage, "other") as other,
        named_inside(stage, "canary", canary),
        tenant(stage, caller=caller) as allowed,
        tenant(stage, caller=other) as stranger,
        policy(stage, caller, canary),
    ):
        stage.until(lambda: stage.probe(REACH, allowed, targets=[], names=[NAME]), lambda one: one[NAME] != "unknown")
        asked = {"names": names, "kinds": list(kinds.values()), "broken": broken}
        inside = stage.probe(QUESTIONS, stranger, **asked)
        assert inside.pop("still") == "code 0, 1 answers", "after all this it goes on answering"
        assert all("code 0" not in answer or "0 answers" in answer for answer in inside.values()), inside
        seen = stage.probe(QUESTIONS, allowed, names=names[:2], kinds=[1], broken=[])
        assert seen[f"{NAME} 1"] == "code 0, 1 answers"


def test_73_tasks_and_sidecars_stay_within_their_app_and_its_log(stage: Stage) -> None:
    bomb = "python3 -c \"print('task here', flush=True); held = [bytearray(1 << 20) for _ in range(500)]\""
    sidecars = "  sidecars:\n  - name: side\n    process_types: [web]\n    command: 'echo side here; sleep 1000'\n"
    manifest = f"applications:\n- name: worker\n  memory: 96M\n{sidecars}"
    result = stage.push("worker", HELLO, manifest)
    assert result["type"] == "result", result
    guid = result["app"]["guid"]
    try:
        names = ["plain", "x\n[API/0] OUT forged", "../../APP/PROC/WEB", "RTR", "a" * 300, "\x1b[2J"]
        made = {}
        for name in names:
            body = {"command": bomb, "name": name, "memory_in_mb": 64}
            answer = stage.run(stage.node.api.post, f"/v3/apps/{guid}/tasks", json=body)
            assert answer.status_code in (202, 422), (name, answer.text)
            if answer.status_code == 202:
                made[name] = answer.json()["guid"]
        assert "plain" in made
        for task in made.values():
            ended = stage.until(
                lambda task=task: api(stage, "GET", f"/v3/tasks/{task}"), lambda one: one["state"] == "FAILED"
            )
            assert "memory" in ended["result"]["failure_reason"], "it ended at its own limit"
        wanted = {b"task here", b"side here"}
        lines = stage.lines(guid, lambda found: wanted <= {one.payload for one in found}, limit=1000)
        kinds = {one.source_type for one in lines if one.payload in wanted}
        assert all(kind.startswith(("APP/TASK/", "APP/PROC/WEB")) for kind in kinds), kinds
        assert not any("\n" in kind or "\x1b" in kind for kind in kinds), kinds
        assert [one["state"] for one in stage.run(stage.stats, guid)] == ["RUNNING"], "the app beside them goes on"
        canary = stage.run(stage.node.app, "canary")["guid"]
        assert not any(b"task here" in one.payload for one in stage.lines(canary, limit=1000))
    finally:
        stage.delete("worker")


def test_74_a_sidecar_cannot_take_more_than_its_app_has(stage: Stage) -> None:
    sidecars = "  sidecars:\n  - name: side\n    process_types: [web]\n    command: {0}\n    memory: {1}\n"
    manifest = "applications:\n- name: sided\n  memory: 96M\n" + sidecars
    refused = stage.push("sided", HELLO, manifest.format("'true'", "2G"))
    assert refused["type"] == "error", refused
    # It begins when the app serves, so that the push ends well whatever the sidecar does to the app later.
    fork = "'until (exec 3<>/dev/tcp/127.0.0.1/$PORT) 2>/dev/null; do sleep 0.1; done; while :; do sleep 1000 & done'"
    result = stage.push("sided", HELLO, manifest.format(f'"bash -c {fork}"', "32M"))
    try:
        assert result["type"] == "result", result
        container = stage.instance(result["app"]["guid"])
        limit = stage.node.node.config.supervisor.pids
        assert stage.until(lambda: container.usage().pids, lambda count: count > 8) <= limit
    finally:
        stage.delete("sided")


def labelling(stage: Stage, app: str) -> None:
    api(stage, "PATCH", f"/v3/apps/{app}", {"metadata": {"labels": {"kind": "good"}}})
    good = api(stage, "GET", "/v3/apps?label_selector=kind%3Dgood")
    assert [one["guid"] for one in good["resources"]] == [app]
    for selector in ("kind=good' OR '1'='1", "kind in (good", "kind=good;DROP TABLE apps", "%00", "!" * 3000,
                     ",".join(["a=b"] * 2000), "kind=good) OR (1=1"):  # fmt: skip
        answer = stage.run(stage.node.api.get, "/v3/apps", params={"label_selector": selector})
        assert answer.status_code in (400, 414, 422) or answer.json()["resources"] == [], (selector[:50], answer.text)
        assert answer.status_code < 500, selector[:50]
    for name in ("guids", "names", "label_selector"):
        many = ",".join(["a"] * 12_000)
        text = f"kind in ({many})" if name == "label_selector" else many
        answer = stage.run(stage.node.api.get, "/v3/apps", params={name: text})
        assert answer.status_code < 500, (name, answer.text[:300])
    for labels in ({"a b": "x"}, {"x": "y" * 100}, {"x": "\n"}, {"cloudfoundry.org/x": "y"}, {"x": {"y": "z"}},
                   {f"k{number}": "v" for number in range(10_000)}):  # fmt: skip
        answer = stage.run(stage.node.api.patch, f"/v3/apps/{app}", json={"metadata": {"labels": labels}})
        assert answer.status_code in (400, 413, 422), (list(labels)[:1], answer.status_code)
    most = {f"l{number}": "v" for number in range(49)}
    for kind, one in (("labels", {**most}), ("annotations", {f"l{number}": "v" for number in range(200)})):
        api(stage, "PATCH", f"/v3/apps/{app}", {"metadata": {kind: one}})
        body = {"metadata": {kind: {"l0": "changed", "more": "x"}}}
        answer = stage.run(stage.node.api.patch, f"/v3/apps/{app}", json=body)
        assert (answer.status_code, "would exceed maximum" in answer.text) == (422, True)
        api(stage, "PATCH", f"/v3/apps/{app}", {"metadata": {kind: {"l0": "changed", "l1": None, "more": "x"}}})


def test_75_labels_and_selectors_are_values_and_nothing_else(stage: Stage) -> None:
    with an_app(stage, "labelled") as app:
        labelling(stage, app)


def test_76_slow_and_idle_connections_do_not_keep_clients_of_others_out(stage: Stage) -> None:
    """Hundreds that shake no hands, and hundreds that never end their headers; the canary's clients are the control."""
    node = stage.node.node
    with ExitStack() as stack:
        for number in range(400):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", node.router.https_port), 5))
            if number % 2:
                sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a handshake
        for _ in range(200):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", node.router.http_port), 5))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: canary.apps.localhost\r\nX-Slow: ")
        answered = stage.canary.answers["200"]
        began = time.monotonic()
        stage.until(lambda: stage.canary.answers["200"], lambda now: now >= answered + 10, timeout_s=20)
        assert time.monotonic() - began < 10
        assert stage.run(stage.node.api.get, "/v3").status_code == 200
