"""AWS Signature Version 4 for S3, the part that plain requests need. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(msgspec.Struct, frozen=True):
    """Who signs, for which region."""

    access_key: str
    secret_key: str
    region: str


def escaped(text: str, *, safe: str = "-_.~") -> str:
    """As signatures want it: everything but letters, digits and `safe` in percent form."""
    return quote(text, safe=safe)


def query_string(query: Mapping[str, str]) -> str:
    """The query as it is sent and signed."""
    return "&".join(f"{escaped(name)}={escaped(value)}" for name, value in sorted(query.items()))


def sign(
    credentials: Credentials,
    method: str,
    host: str,
    path: str,
    query: Mapping[str, str],
    content_sha256: str,
    now: float,
) -> dict[str, str]:
    """The headers to send. `path` is escaped already, `now` unix seconds, `content_sha256` the hash of the body."""
    moment = datetime.fromtimestamp(now, UTC)
    stamp, day = f"{moment:%Y%m%dT%H%M%SZ}", f"{moment:%Y%m%d}"
    headers = {"host": host, "x-amz-content-sha256": content_sha256, "x-amz-date": stamp}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join((method, path, query_string(query), lines, names, content_sha256))
    scope = f"{day}/{credentials.region}/s3/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, "s3", "aws4_request"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    who = f"Credential={credentials.access_key}/{scope}"
    authorization = f"{_ALGORITHM} {who}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": authorization}


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
