"""Bodies: back-pressure, caps, clients that stall or vanish."""

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import trio
import trio.testing

from paasd.api.body import Body
from paasd.errors import BadRequest, TooLarge
from paasd.model import Package
from tests.api.hands import tar_of
from tests.api.serving import Served, serve, with_api
from tests.api.tenants import make_tenant

MIB = 1024 * 1024


class PeakMemory:
    """The highest resident size of this process while it is watched, above that at the start."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.start = self._process.memory_info().rss
        self.peak = self.start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def rise_mib(self) -> float:
        return (self.peak - self.start) / MIB


@contextmanager
def incoming_is_empty(directory: Path) -> Iterator[None]:
    """After the block no half-written blob stands there."""
    yield
    assert list((directory / "blobs" / "incoming").iterdir()) == []


async def new_package(http: httpx.AsyncClient, name: str = "up") -> str:
    space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]["guid"]
    app = await http.post("/v3/apps", json={"name": name, "relationships": {"space": {"data": {"guid": space}}}})
    body = {"type": "bits", "relationships": {"app": {"data": {"guid": app.json()["guid"]}}}}
    return str((await http.post("/v3/packages", json=body)).json()["guid"])


async def test_an_upload_of_500_mb_raises_memory_by_less_than_60_mb(served: Served) -> None:
    head = tar_of({"app.py": b"x"})
    piece = b"\0" * (256 * 1024)
    boundary = "----boundary"

    async def body() -> AsyncIterator[bytes]:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="resources"\r\n\r\n[]\r\n'.encode()
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="bits"; filename="package.zip"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        ).encode()
        yield head
        for _ in range(2000):
            yield piece
        yield f"\r\n--{boundary}--\r\n".encode()

    async with await served.admin() as http:
        guid = await new_package(http)
        with PeakMemory() as memory:
            answer = await http.post(
                f"/v3/packages/{guid}/upload",
                content=body(),
                headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
                timeout=120,
            )
        assert answer.status_code == 200, answer.text
        with served.context.database.read() as tx:
            assert tx.need(Package, guid).size_bytes == len(head) + 2000 * len(piece)
    # The client of this test lives in the same process, so its own buffers count too.
    assert memory.rise_mib < 60


async def test_a_body_is_not_read_faster_than_it_is_taken() -> None:
    body = Body(None, None)
    sent = 0

    async def client() -> None:
        nonlocal sent
        for _ in range(100):
            await body.put(b"x" * 1000)
            sent += 1
        body.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client)
        await trio.testing.wait_all_tasks_blocked()
        assert sent == 0
        assert await body.__anext__()
        await trio.testing.wait_all_tasks_blocked()
        assert sent == 1
        assert len(await body.read()) == 99_000


async def test_a_body_without_length_is_capped_by_what_arrives(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(upload_limit_bytes=MIB)) as served, await served.admin() as http:

        async def endless() -> AsyncIterator[bytes]:
            yield tar_of({"a": b"b"})
            for _ in range(64):
                yield b"\0" * 65536

        with incoming_is_empty(tmp_path):
            answer = await http.post("/paasd/v1/spaces/main/dev/push?name=big", content=endless())
        assert answer.status_code == 413, answer.text
        assert str(MIB) in answer.json()["errors"][0]["detail"]


async def test_a_json_body_is_capped_by_its_own_smaller_limit(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(body_limit_bytes=1024)) as served, await served.admin() as http:
        small = await http.post("/v3/organizations", json={"name": "a" * 100})
        assert small.status_code == 201, small.text
        large = await http.post("/v3/organizations", json={"name": "a" * 2000})
        assert large.status_code == 413


async def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await served.admin() as http:
        guid = await new_package(http)
        token = http.headers["Authorization"]
        host, port = served.doors.host, served.doors.port
        with incoming_is_empty(tmp_path):
            stream = await trio.open_tcp_stream(host, port)
            head = (
                f"POST /v3/packages/{guid}/upload HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n"
                "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n"
                '--b\r\nContent-Disposition: form-data; name="bits"; filename="a"\r\n\r\n'
            )
            await stream.send_all(head.encode() + b"PK\x03\x04" + b"x" * 100_000)
            await stream.aclose()
            with trio.fail_after(10):
                while (await http.get(f"/v3/packages/{guid}")).json()["state"] != "FAILED":
                    await trio.lowlevel.checkpoint()
        shown = (await http.get(f"/v3/packages/{guid}")).json()
        assert "broken off" in shown["data"]["error"]
        assert (await http.get(f"/v3/packages/{guid}/download")).status_code == 422


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"--b\r\nContent-Disposition: form-data; name=bits; filename=a\r\n\r\nPK\x03\x04", "b", 400),
        (b'--b\r\nContent-Disposition: form-data; name="resources"\r\n\r\n[]\r\n--b--\r\n', "b", 422),
        (b"not multipart at all", "b", 400),
    ],
)
async def test_a_broken_form_is_refused(served: Served, content: bytes, kind: str, status: int) -> None:
    async with await served.admin() as http:
        guid = await new_package(http)
        answer = await http.post(
            f"/v3/packages/{guid}/upload",
            content=content,
            headers={"Content-Type": f"multipart/form-data; boundary={kind}"},
        )
        assert answer.status_code == status, answer.text
        assert (await http.get(f"/v3/packages/{guid}")).json()["state"] == "FAILED"


async def test_a_stalled_body_times_out() -> None:
    body = Body(None, None)
    body.timeout_s = 0.05
    with pytest.raises(BadRequest, match="No part of the request body"):
        await body.read()
    capped = Body(10, 5)
    with pytest.raises(TooLarge):
        await capped.read()


async def test_a_small_body_that_dribbles_in_is_refused_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paasd.api.body.WHOLE_S", 0.2)
    body = Body(None, 1000)

    async def dribble() -> None:
        while True:
            await body.put(b"x")
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dribble)
        with pytest.raises(BadRequest, match="did not arrive within"):
            await body.read()
        nursery.cancel_scope.cancel()


async def test_a_client_that_stops_reading_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await served.admin() as http:
        guid = await new_package(http)
        data = tar_of({"a": bytes(range(256)) * 200_000}) + b"\0" * (24 * MIB)
        uploaded = await http.post(f"/v3/packages/{guid}/upload", files={"bits": ("a", data)})
        assert uploaded.status_code == 200, uploaded.text
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        token = http.headers["Authorization"]
        request = f"GET /v3/packages/{guid}/download HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
        await stream.send_all(request.encode())
        assert (await stream.receive_some(20)).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
    # The grace of the test configuration is 1 s; the client has still not read.
    assert time.monotonic() - began < 4
    await stream.aclose()


async def test_strangers_cannot_send_large_forms(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        form = {"grant_type": "password", "username": "admin", "password": "x" * 100_000}
        answer = await http.post("/oauth/token", data=form, auth=("cf", ""))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("piece", "every_s", "whole_s", "ends_s"), [(1, 59, 900, 120), (9_000, 1, 900, 700), (20_000, 1, 900, 910)]
)
async def test_an_upload_that_comes_too_slowly_is_refused(
    autojump_clock: trio.testing.MockClock, piece: int, every_s: float, whole_s: float, ends_s: float
) -> None:
    body = Body(None, None)
    body.whole_s = whole_s

    async def dribble() -> None:
        while True:
            await body.put(b"x" * piece)
            await trio.sleep(every_s)

    async def read() -> None:
        async for _ in body:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dribble)
        with trio.fail_after(ends_s), pytest.raises(BadRequest, match="too slowly"):
            await read()
        nursery.cancel_scope.cancel()


async def test_who_waits_for_us_is_not_too_slow(autojump_clock: trio.testing.MockClock) -> None:
    body = Body(None, None)
    body.whole_s = 10

    async def send() -> None:
        for _ in range(20):
            await body.put(b"x")
        body.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        async for _ in body:
            await trio.sleep(30)
    assert body.received_bytes == 20


async def test_nobody_has_more_than_a_share_of_the_uploads(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(connections_limit=32)) as served:
        tenant = await make_tenant(served, "one", "developer")
        http = tenant.client("developer")
        guids = [await new_package(http, f"up-{number}") for number in range(3)]
        head = "Host: x\r\nContent-Length: 1000000\r\nContent-Type: multipart/form-data; boundary=B\r\n"
        part = '--B\r\nContent-Disposition: form-data; name="bits"; filename="a"\r\n\r\nPK'
        token = http.headers["Authorization"]
        streams = []
        with trio.fail_after(20):
            for guid in guids:
                stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
                asked = f"POST /v3/packages/{guid}/upload HTTP/1.1\r\nAuthorization: {token}\r\n{head}\r\n{part}"
                await stream.send_all(asked.encode())
                streams.append(stream)
                while (
                    guid != guids[-1] and (await http.get(f"/v3/packages/{guid}")).json()["state"] == "AWAITING_UPLOAD"
                ):
                    await trio.sleep(0.01)
            answer = b""
            while b"You have 2 uploads open already" not in answer:
                answer += await streams[-1].receive_some(4096) or pytest.fail(f"it ended after {answer!r}")
            assert b" 503 " in answer
            await streams[0].aclose()
            while (await http.get(f"/v3/packages/{guids[0]}")).json()["state"] != "FAILED":
                await trio.sleep(0.01)
            fits = await http.post(f"/v3/packages/{guids[2]}/upload", files={"bits": ("a", tar_of({"a": b"x"}))})
            assert fits.status_code == 200, fits.text
            for stream in streams:
                await stream.aclose()
