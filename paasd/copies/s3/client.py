"""The few requests of S3 that are needed, in path style: every compatible store answers them."""

import hashlib
import ssl
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import msgspec
import trio
import trio.lowlevel

from paasd.config import S3Config
from paasd.copies.s3.signing import EMPTY_SHA256, Credentials, escaped, query_string, sign
from paasd.errors import ConfigError, NotFound, Unavailable

ANSWER_LIMIT_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 256 * 1024
PAUSES_S = (0.2, 1.0, 3.0)
"""A request that fails for reasons of the store or the network is sent again after these pauses."""
PAGE_KEYS = 1000
"""Objects that one answer lists; no store gives more."""
Body = Callable[[], AsyncIterator[bytes]]


class StoreFailed(Unavailable):
    """The store did not do it; the detail says what it said."""


class StoredObject(msgspec.Struct, frozen=True):
    """One of a list; `modified_at` in unix seconds."""

    key: str
    size_bytes: int
    modified_at: float


class S3Client:
    """Made by `open_client`. Keys are below the configured prefix."""

    def __init__(
        self,
        config: S3Config,
        credentials: Credentials,
        http: httpx.AsyncClient,
        clock: Callable[[], float],
        pauses_s: Sequence[float] = PAUSES_S,
        page_keys: int = PAGE_KEYS,
    ) -> None:
        self._config = config
        self._credentials = credentials
        self._http = http
        self._clock = clock
        self._pauses_s = pauses_s
        self._page_keys = page_keys
        parts = urlsplit(config.endpoint)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.netloc
        self._folder = parts.path.rstrip("/")

    async def put(
        self, key: str, sha256: str, size_bytes: int, body: Body, part: Mapping[str, str] | None = None
    ) -> str:
        """Store a body of this hash, which the store checks; its ETag. Raises StoreFailed."""
        answer = await self._ask("PUT", key, part or {}, sha256, body, size_bytes)
        return str(answer.headers.get("etag", ""))

    async def put_parts(self, key: str, parts: list[tuple[str, int, Body]]) -> None:
        """The same for a large body, as parts of (hash, size, body). Raises StoreFailed; then nothing of it stays."""
        begun = await self._ask("POST", key, {"uploads": ""})
        upload = {"uploadId": _text(_parse(begun.content), "UploadId")}
        try:
            tags = []
            for number, (sha256, size_bytes, body) in enumerate(parts, 1):
                tags.append(await self.put(key, sha256, size_bytes, body, {**upload, "partNumber": str(number)}))
            root = ET.Element("CompleteMultipartUpload")
            for number, tag in enumerate(tags, 1):
                part = ET.SubElement(root, "Part")
                ET.SubElement(part, "PartNumber").text = str(number)
                ET.SubElement(part, "ETag").text = tag
            done = await self._ask("POST", key, upload, *_content(ET.tostring(root)))
            if b"<Error>" in done.content:  # said with status 200, when it is found out late
                raise StoreFailed(f"the S3 store refused the parts of {key}: {_said(done.content)}")
        except BaseException:
            with trio.CancelScope(shield=True), trio.move_on_after(self._config.timeout_s):
                await self._give_up(key, upload)
            raise

    async def _give_up(self, key: str, upload: Mapping[str, str]) -> None:
        try:
            await self._ask("DELETE", key, upload)
        except (StoreFailed, NotFound):
            return  # the store forgets unfinished uploads by its own rules

    async def has(self, key: str) -> bool:
        """Raises StoreFailed."""
        try:
            await self._ask("HEAD", key, {})
        except NotFound:
            return False
        return True

    @asynccontextmanager
    async def get(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The content, piece by piece. Raises NotFound, StoreFailed."""
        request = self._request("GET", key, {}, EMPTY_SHA256, None, 0)
        try:
            answer = await self._http.send(request, stream=True)
            try:
                if answer.is_error:
                    await answer.aread()
                    raise self._failure(answer, "GET", key)
                yield answer.aiter_raw(PIECE_BYTES)
            finally:
                with trio.CancelScope(shield=True):
                    await answer.aclose()
        except httpx.HTTPError as error:
            raise StoreFailed(f"the S3 store broke off: {_reason(error)}") from error

    async def delete(self, key: str) -> None:
        """Also when it is not there. Raises StoreFailed."""
        try:
            await self._ask("DELETE", key, {})
        except NotFound:
            return

    async def listed(self) -> AsyncIterator[StoredObject]:
        """Everything below the prefix. Raises StoreFailed."""
        query = {"list-type": "2", "prefix": self._config.prefix, "max-keys": str(self._page_keys)}
        while True:
            root = _parse((await self._ask("GET", None, query)).content)
            for found in root.iter("Contents"):
                yield _listed(found, self._config.prefix)
            if _text(root, "IsTruncated") != "true":
                return
            query["continuation-token"] = _text(root, "NextContinuationToken")

    async def _ask(
        self,
        method: str,
        key: str | None,
        query: Mapping[str, str],
        sha256: str = EMPTY_SHA256,
        body: Body | None = None,
        size_bytes: int = 0,
    ) -> httpx.Response:
        for pause_s in (*self._pauses_s, None):
            failure: Unavailable | NotFound
            try:
                answer = await self._http.send(self._request(method, key, query, sha256, body, size_bytes))
                if not answer.is_error:
                    return answer
                failure = self._failure(answer, method, key)
                if answer.status_code < 500 and answer.status_code != 429:
                    raise failure
            except httpx.HTTPError as error:
                failure = StoreFailed(f"the S3 store at {self._base} does not answer: {_reason(error)}")
            if pause_s is None:
                raise failure
            await trio.sleep(pause_s)
        raise AssertionError("unreachable")

    def _request(
        self, method: str, key: str | None, query: Mapping[str, str], sha256: str, body: Body | None, size_bytes: int
    ) -> httpx.Request:
        path = f"{self._folder}/{self._config.bucket}" + ("" if key is None else f"/{self._config.prefix}{key}")
        path = escaped(path, safe="/-_.~")
        headers = sign(self._credentials, method, self._host, path, query, sha256, self._clock())
        if body is not None:
            headers["content-length"] = str(size_bytes)
        url = f"{self._base}{path}" + (f"?{query_string(query)}" if query else "")
        return self._http.build_request(method, url, headers=headers, content=None if body is None else body())

    def _failure(self, answer: httpx.Response, method: str, key: str | None) -> StoreFailed | NotFound:
        if answer.status_code == 404 and key is not None and b"NoSuchBucket" not in answer.content:
            return NotFound("Object", f"the S3 store has no object {key}")
        said = _said(answer.content) or f"status {answer.status_code}"
        advice = "; see [s3] access_key and secret_file, and this machine's clock" if answer.status_code == 403 else ""
        return StoreFailed(f"the S3 store refused {method} {key or self._config.bucket}: {said}{advice}")


def _content(data: bytes) -> tuple[str, Body, int]:
    async def body() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield data

    return hashlib.sha256(data).hexdigest(), body, len(data)


def _parse(content: bytes) -> ET.Element:
    """An XML answer, without its namespace. Raises StoreFailed."""
    if len(content) > ANSWER_LIMIT_BYTES:
        raise StoreFailed("the S3 store's answer is too long")
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        raise StoreFailed(f"the S3 store's answer cannot be read: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _listed(found: ET.Element, prefix: str) -> StoredObject:
    """Raises StoreFailed."""
    try:
        modified = datetime.fromisoformat(_text(found, "LastModified")).timestamp()
        return StoredObject(_text(found, "Key").removeprefix(prefix), int(_text(found, "Size")), modified)
    except (ValueError, OverflowError) as error:
        raise StoreFailed(f"the S3 store's list of objects cannot be read: {error}") from error


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(name) or ""


def _said(content: bytes) -> str:
    try:
        root = _parse(content) if content else None
    except StoreFailed:
        return content[:200].decode(errors="replace")
    return "" if root is None else f"{_text(root, 'Code')}: {_text(root, 'Message')}"


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__


@asynccontextmanager
async def open_client(
    config: S3Config,
    clock: Callable[[], float],
    *,
    pauses_s: Sequence[float] = PAUSES_S,
    page_keys: int = PAGE_KEYS,
) -> AsyncIterator[S3Client]:
    """Raises ConfigError for settings that cannot work."""
    if urlsplit(config.endpoint).scheme not in ("http", "https") or not config.bucket or not config.access_key:
        raise ConfigError("[s3] needs an endpoint such as https://s3.example, a bucket and an access_key")
    try:
        secret = (await trio.Path(config.secret_file).read_text()).strip()
        verify = ssl.create_default_context(cafile=config.ca_file or None)
    except OSError as error:
        raise ConfigError(
            f"[s3] secret_file or ca_file cannot be read: {error.strerror}: {error.filename or config.ca_file}"
        ) from error
    credentials = Credentials(config.access_key, secret, config.region)
    async with httpx.AsyncClient(verify=verify, timeout=config.timeout_s, trust_env=False) as http:
        yield S3Client(config, credentials, http, clock, pauses_s, page_keys)
