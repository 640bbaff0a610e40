"""Against a real S3-compatible server, started here; another implementation judges the signatures."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx
import msgspec
import pytest
import trio
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from paasd.blobs import Blob, Blobs, open_blobs
from paasd.config import BlobsConfig, S3Config
from paasd.copies.s3.client import S3Client, StoreFailed, open_client
from paasd.copies.s3.signing import Credentials, escaped, query_string, sign
from paasd.copies.s3.store import S3Store, open_s3
from paasd.errors import ConfigError, NotFound, Unavailable
from paasd.model import Package
from paasd.state import Database, Tx, open_database, operation

from .world import THREE, open_world, some

BUCKET = "platform"
PART_BYTES = 5 * 1024 * 1024


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = "from moto.server import main; import sys; main(sys.argv[1:])"
    server = subprocess.Popen(
        [sys.executable, "-c", script, "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


@pytest.fixture(scope="module")
def boto(endpoint: str) -> Any:
    """Another client, to look from outside."""
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
def config(tmp_path: Path, endpoint: str, boto: Any) -> S3Config:
    (tmp_path / "secret").write_text("secret\n")
    # Every test has a folder of its own in the bucket.
    return S3Config(
        endpoint=endpoint,
        bucket=BUCKET,
        access_key="key",
        secret_file=str(tmp_path / "secret"),
        prefix=f"of {os.urandom(4).hex()}/",
        part_bytes=PART_BYTES,
        timeout_s=10,
        interval_s=0.2,
    )


class Pair:
    def __init__(self, blobs: Blobs, client: S3Client, store: S3Store) -> None:
        self.blobs = blobs
        self.client = client
        self.store = store

    async def keep(self, data: bytes) -> str:
        async with self.blobs.writer(1 << 30) as writer:
            await writer.write(data)
            return (await writer.commit()).sha256


@asynccontextmanager
async def open_pair(directory: Path, config: S3Config) -> AsyncIterator[Pair]:
    async with open_blobs(directory / "blobs") as blobs, open_client(config, time.time, pauses_s=(0.01,)) as client:
        yield Pair(blobs, client, S3Store(config, blobs, client, time.time))


@pytest.mark.parametrize(
    ("method", "key", "query"),
    [
        ("PUT", "ab/abcdef", {}),
        ("GET", "", {"list-type": "2", "prefix": "of a/ü+&=/", "continuation-token": "x/y+z=="}),
        ("POST", "with space/and~tilde", {"uploads": ""}),
        ("PUT", "k", {"uploadId": "a+b/c", "partNumber": "12"}),
    ],
)
def test_signatures_are_those_that_another_implementation_makes(method: str, key: str, query: dict[str, str]) -> None:
    now, digest = time.time(), hashlib.sha256(b"body").hexdigest()
    path = escaped(f"/bucket/{key}", safe="/-_.~")
    ours = sign(Credentials("AKID", "s3cret/+", "eu-west-2"), method, "s3.example:9000", path, query, digest, now)
    url = f"https://s3.example:9000{path}" + (f"?{query_string(query)}" if query else "")
    request = AWSRequest(method=method, url=url, headers={"X-Amz-Content-SHA256": digest})

    class Fixed(S3SigV4Auth):
        def add_auth(self, request: AWSRequest) -> None:
            request.context["timestamp"] = ours["x-amz-date"]
            request.headers["X-Amz-Date"] = ours["x-amz-date"]
            self._inject_signature_to_request(
                request, self.signature(self.string_to_sign(request, self.canonical_request(request)), request)
            )

    request.context["payload_signing_enabled"] = True
    Fixed(BotoCredentials("AKID", "s3cret/+"), "s3", "eu-west-2").add_auth(request)
    theirs = dict(part.split("=", 1) for part in request.headers["Authorization"].split(" ", 1)[1].split(", "))
    mine = dict(part.split("=", 1) for part in ours["authorization"].split(" ", 1)[1].split(", "))
    assert mine == theirs


async def test_a_blob_is_put_found_fetched_and_deleted(tmp_path: Path, config: S3Config, boto: Any) -> None:
    async with open_pair(tmp_path, config) as pair:
        data = some()
        sha256 = await pair.keep(data)
        assert not await pair.store.exists(sha256)
        with pytest.raises(NotFound):
            await pair.store.fetch(sha256)
        await pair.store.put(sha256)
        await pair.store.put(sha256)
        key = f"{config.prefix}{sha256[:2]}/{sha256}"
        assert boto.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data
        assert await pair.store.exists(sha256)
        pair.blobs.path(sha256).unlink()
        await pair.store.fetch(sha256)
        assert pair.blobs.path(sha256).read_bytes() == data
        (listed,) = [one async for one in pair.client.listed()]
        assert listed.size_bytes == len(data) and abs(listed.modified_at - time.time()) < 60
        await pair.client.delete(listed.key)
        await pair.client.delete(listed.key)
        assert not await pair.store.exists(sha256)


async def test_a_large_blob_goes_in_parts(tmp_path: Path, config: S3Config, boto: Any) -> None:
    async with open_pair(tmp_path, config) as pair:
        data = some(2 * PART_BYTES + 12345)
        sha256 = await pair.keep(data)
        await pair.store.put(sha256)
        found = boto.head_object(Bucket=BUCKET, Key=f"{config.prefix}{sha256[:2]}/{sha256}")
        assert found["ETag"].endswith('-3"')
        pair.blobs.path(sha256).unlink()
        await pair.store.fetch(sha256)
        assert pair.blobs.path(sha256).read_bytes() == data


async def test_parts_that_fail_are_given_up_in_the_store(tmp_path: Path, config: S3Config, boto: Any) -> None:
    async with open_pair(tmp_path, config) as pair:

        async def broken() -> AsyncIterator[bytes]:
            yield b"x" * 10
            raise OSError("the disk is gone")

        with pytest.raises(OSError, match="the disk is gone"):
            await pair.client.put_parts("k", [(hashlib.sha256(b"").hexdigest(), PART_BYTES, broken)])
        uploads = boto.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        assert [one for one in uploads if one["Key"].startswith(config.prefix)] == []


async def test_more_objects_than_one_answer_lists_are_all_listed(config: S3Config, boto: Any) -> None:
    for number in range(25):
        boto.put_object(Bucket=BUCKET, Key=f"{config.prefix}{number:04}", Body=b"")
    async with open_client(config, time.time, page_keys=10) as client:
        found = [one.key async for one in client.listed()]
    assert found == [f"{number:04}" for number in range(25)]


async def test_what_the_store_gives_is_compared_with_the_hash(tmp_path: Path, config: S3Config, boto: Any) -> None:
    async with open_pair(tmp_path, config) as pair:
        sha256 = hashlib.sha256(b"right").hexdigest()
        boto.put_object(Bucket=BUCKET, Key=f"{config.prefix}{sha256[:2]}/{sha256}", Body=b"wrong")
        with pytest.raises(Unavailable, match="something else"):
            await pair.store.fetch(sha256)
        assert not pair.blobs.has(sha256)


async def test_a_store_that_refuses_or_is_away_is_told_with_what_to_do(tmp_path: Path, config: S3Config) -> None:
    other = msgspec.structs.replace(config, bucket="nobody-has-made-it")
    async with open_client(other, time.time) as client:
        with pytest.raises(StoreFailed, match="NoSuchBucket"):
            _ = [one async for one in client.listed()]
    away = msgspec.structs.replace(config, endpoint="http://127.0.0.1:1", timeout_s=0.5)
    async with open_pair(tmp_path, away) as pair:
        with pytest.raises(StoreFailed, match="does not answer"):
            await pair.client.has("k")
        assert not await pair.store.exists(hashlib.sha256(b"").hexdigest())
        assert pair.store.failure is not None
    for wrong in ({"endpoint": "ftp://x"}, {"bucket": ""}, {"secret_file": "/does/not/exist"}, {"ca_file": "/neither"}):
        with pytest.raises(ConfigError, match=r"\[s3\]"):
            async with open_client(msgspec.structs.replace(config, **wrong), time.time):
                pass


@pytest.mark.parametrize(("modified", "size"), [("x", "1"), ("2026-01-01T00:00:00Z", "many"), ("", "")])
async def test_a_list_that_makes_no_sense_is_the_stores_failure(config: S3Config, modified: str, size: str) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        one = f"<Key>k</Key><LastModified>{modified}</LastModified><Size>{size}</Size>"
        return httpx.Response(200, content=f"<ListBucketResult><Contents>{one}</Contents></ListBucketResult>")

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = S3Client(config, Credentials("key", "secret", "us-east-1"), http, time.time)
        with pytest.raises(StoreFailed, match="list of objects"):
            _ = [one async for one in client.listed()]


async def test_a_blob_that_goes_while_it_is_put_is_not_found_and_the_next_one_is_put(
    tmp_path: Path, config: S3Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pair(tmp_path, config) as pair, trio.open_nursery() as nursery:
        gone, here = await pair.keep(b"gone"), await pair.keep(b"here")
        stat = pair.blobs.stat

        def stat_and_go(sha256: str) -> Blob:
            found = stat(sha256)
            if sha256 == gone:
                pair.blobs.path(gone).unlink()
            return found

        monkeypatch.setattr(pair.blobs, "stat", stat_and_go)
        nursery.start_soon(pair.store.put_forever)
        for sha256 in (gone, here):
            await pair.store.secure(Blob(sha256, 4))
        with trio.fail_after(10):
            while not await pair.store.exists(here):
                await trio.sleep(0.05)
        assert not await pair.store.exists(gone)
        assert pair.store.failure is None
        nursery.cancel_scope.cancel()


class Refer(msgspec.Struct):
    sha256s: list[str]


@operation("test.refer_to_blobs", version=1)
def refer(tx: Tx, args: Refer) -> None:
    for row in tx.all(Package):
        tx.delete(row)
    for sha256 in args.sha256s:
        tx.insert(Package(app_guid="app", blob_sha256=sha256))


async def until(look: Any) -> None:
    with trio.fail_after(20):
        while not look():
            await trio.sleep(0.05)


async def test_referenced_blobs_are_put_and_useless_ones_go_after_their_time(
    tmp_path: Path, config: S3Config, boto: Any
) -> None:
    (tmp_path / "state").mkdir()
    clock = time.time
    later = 0.0

    def stored() -> set[str]:
        found = boto.list_objects_v2(Bucket=BUCKET, Prefix=config.prefix).get("Contents", [])
        return {one["Key"].rpartition("/")[2] for one in found}

    async with (
        open_database(tmp_path / "state", sync=False) as database,
        open_blobs(tmp_path / "blobs", BlobsConfig()) as blobs,
    ):
        database_: Database = database
        async with blobs.writer(1 << 20) as writer:
            await writer.write(b"before there was a store")
            before = (await writer.commit()).sha256
        await database_.write(refer, Refer([before]))
        async with open_s3(
            config,
            blobs,
            database_,
            acts=lambda _subject: True,
            collect_after_s=2.0,
            clock=lambda: clock() + later,
        ) as store:
            assert store is not None and blobs.store is store
            async with blobs.writer(1 << 20) as writer:
                await writer.write(b"stored now")
                now = (await writer.commit()).sha256
            await until(lambda: stored() == {before, now})
            await database_.write(refer, Refer([before, now]))
            await trio.sleep(1.5)
            assert stored() == {before, now}
            blobs.path(now).unlink()
            assert (await blobs.ensure(now)).read_bytes() == b"stored now"
            await database_.write(refer, Refer([now]))
            later = 5.0
            await trio.sleep(1.0)
            assert stored() == {before, now}
            await until(lambda: stored() == {now})
        assert blobs.store is None


async def test_what_no_node_has_any_more_comes_from_the_store(tmp_path: Path, config: S3Config) -> None:
    async with open_world(tmp_path, THREE) as world, open_client(config, time.time) as client:
        for blobs in world.blobs.values():
            blobs.store = S3Store(config, blobs, client, time.time)
        data = some()
        sha256 = await world.store("a1", data)
        await world.blobs["a1"].store.put(sha256)  # type: ignore[union-attr]
        for guid in world.holders(sha256):
            world.blobs[guid].path(sha256).unlink()
        assert (await world.blobs["c1"].ensure(sha256)).read_bytes() == data
        missing = hashlib.sha256(b"nowhere").hexdigest()
        with pytest.raises(NotFound):
            await world.blobs["c1"].ensure(missing)
        world.cut_off("b1")
        with pytest.raises(Unavailable):
            await world.blobs["c1"].ensure(missing)
