"""Finding the API, signing in, and turning its errors into sentences."""

import json
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote, urlsplit

import click
import httpx

from paasd.cli.persistence import persist

DEFAULT_DATA = "/var/lib/paasd"
REQUEST_TIMEOUT_S = 60.0
"""An ordinary call; pushes and followed logs have no limit of their own."""


class Identity(NamedTuple):
    """Who signs in at `--api`, and with what."""

    user: str | None = None
    password: str | None = None
    code: str | None = None
    passcode: str | None = None
    token: str | None = None

    def form(self) -> dict[str, str]:
        """What the token endpoint is asked with. Raises UsageError when there is nothing to sign in with."""
        if self.token:
            client_id, _, secret = self.token.strip().partition(".")
            return {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        if self.passcode:
            return {"grant_type": "password", "passcode": self.passcode}
        if not self.user or not self.password:
            raise click.UsageError(
                "--api needs --user and --password (or PAASD_USER and PAASD_PASSWORD), --passcode or a deploy token"
                " (PAASD_DEPLOY_TOKEN)"
            )
        form = {"grant_type": "password", "username": self.user, "password": self.password}
        return {**form, "mfaCode": self.code} if self.code else form


def organization_path(name: str) -> str:
    """The path of an organization in the API of names."""
    return f"/paasd/v1/organizations/{quote(name, safe='')}"


class Target:
    """Which platform, as whom, in which space: options of the command line, each with an environment variable."""

    def __init__(self, api: str | None, ca: str | None, space: str, data: str, identity: "Identity"):
        self.api = api
        self.identity = identity
        self.ca = ca
        self.data = data
        organization, separator, name = space.partition("/")
        if not separator or not organization or not name or "/" in name:
            raise click.UsageError(f"--space wants ORG/SPACE such as main/dev, not {space!r}")
        self.organization = organization
        self.space = name

    @property
    def space_path(self) -> str:
        """The path of the space in the API of names."""
        return f"/paasd/v1/spaces/{quote(self.organization, safe='')}/{quote(self.space, safe='')}"

    @property
    def organization_path(self) -> str:
        """The path of the organization in the API of names."""
        return organization_path(self.organization)

    def app_path(self, name: str) -> str:
        """The path of an app of the space. Raises UsageError for a name that no path can hold."""
        if "/" in name:
            raise click.UsageError(f"apps with a '/' in their name, as {name!r}, can be reached by /v3 only")
        return f"{self.space_path}/apps/{quote(name, safe='')}"

    def connect(self) -> "Client":
        """A client of the named API, else of this machine's daemon through its admin socket."""
        if self.api is None:
            return Client(_local(Path(self.data)))
        return _remote(self.api, self.ca, self.identity)


class ApiError(click.ClickException):
    """What the API refused, and with which status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


_DONE_BEFORE = (404, 409, 422)
"""What a call may be told whose first sending was carried out."""

_SENT_AGAIN = "; it was sent again, because the first answer was lost: the first time may have done it"


class Client:
    """A few verbs over httpx; every failure is a ClickException that says what to do."""

    def __init__(self, http: httpx.Client, renew: Callable[[], None] | None = None) -> None:
        self._http = http
        self._renew = renew

    def renew(self) -> bool:
        """Take a new token, when it is by one that calls are made. Raises ClickException when none is given."""
        if self._renew is None:
            return False
        self._renew()
        return True

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of an answer (None for an empty one)."""
        answer = self.request(method, path, **options)
        return answer.json() if answer.content else None

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer that is no error. A call whose answer is lost is sent again for a while, and carried out once."""
        with _explained():
            answer, again = persist(
                method, lambda headers: self._http.request(method, path, headers=headers, **options)
            )
        if answer.is_error:
            raise _api_error(answer, _SENT_AGAIN if again and answer.status_code in _DONE_BEFORE else "")
        return answer

    def find(self, path: str) -> Any:
        """The JSON of a resource, None where there is none."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def pages(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every resource of a list, over all of its pages."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self.call("GET", path, params={"per_page": 500, "page": page, **params})
            found += answer["resources"]
            if not answer["pagination"]["next"]:
                return found
            page += 1

    def stream(self, method: str, path: str, **options: Any) -> Iterator[dict[str, Any]]:
        """The JSON objects of an NDJSON answer, as they come."""
        headers = {"Accept": "application/x-ndjson", **options.pop("headers", {})}
        timeout = httpx.Timeout(REQUEST_TIMEOUT_S, read=None, write=None)
        with _explained(), self._http.stream(method, path, headers=headers, timeout=timeout, **options) as answer:
            if answer.is_error:
                answer.read()
                raise _api_error(answer)
            for line in answer.iter_lines():
                if line.strip():
                    yield json.loads(line)

    def download(self, method: str, path: str, target: BinaryIO, **options: Any) -> None:
        """The bytes of an answer into a file, as they come."""
        timeout = httpx.Timeout(REQUEST_TIMEOUT_S, read=None)
        with _explained(), self._http.stream(method, path, timeout=timeout, **options) as answer:
            if answer.is_error:
                answer.read()
                raise _api_error(answer)
            for piece in answer.iter_bytes():
                target.write(piece)


class _explained:
    """Turns transport failures into one sentence."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.ConnectError):
            raise click.ClickException(f"the API cannot be reached: {_why(str(error))}") from error
        if isinstance(error, httpx.TransportError):
            raise click.ClickException(
                f"the connection to the API broke: {error or type(error).__name__}; "
                "`paasd status` shows whether the daemon is up"
            ) from error


def _why(reason: str) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return (
            "its certificate is not known here; give the platform's CA with --ca (DATA/certificates/ca.pem on a node)"
        )
    if "Name or service not known" in reason or "No address associated" in reason:
        return "its name does not resolve; check --api, such as https://api.system.localhost"
    if "refused" in reason:
        return "nothing listens there; check --api and its port, or start the daemon with `paasd serve`"
    return f"{reason}; check --api, and that the daemon runs"


def _api_error(answer: httpx.Response, more: str = "") -> ApiError:
    return ApiError(_said(answer) + more, answer.status_code)


def _said(answer: httpx.Response) -> str:
    try:
        body = answer.json()
        if "error_description" in body:
            return f"{body['error_description']} ({body['error']}, {answer.status_code})"
        first = body["errors"][0]
        return f"{first['detail']} ({first['title']}, {answer.status_code})"
    except (ValueError, LookupError, TypeError):
        return f"the API answered {answer.status_code}: {answer.text[:300]}"


def _local(data: Path) -> httpx.Client:
    path = data / "run" / "api.sock"
    try:
        there = path.exists()
    except PermissionError:
        there = True
    if not there:
        raise click.ClickException(
            f"no daemon runs on {data}: start one with `paasd serve`, name its directory with --data or PAASD_DATA, "
            "or another platform with --api"
        )
    if not os.access(path, os.W_OK):
        raise click.ClickException(f"{path} is for root: use sudo (sudo -E keeps PAASD_DATA), or sign in with --api")
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost", timeout=REQUEST_TIMEOUT_S
    )


class _LocalhostTransport(httpx.HTTPTransport):
    """Resolves every name under `.localhost` to the loopback address, as curl and browsers do."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host.endswith(".localhost"):
            request.extensions = {**request.extensions, "sni_hostname": host}
            request.url = request.url.copy_with(host="127.0.0.1")
        return super().handle_request(request)


def _remote(api: str, ca: str | None, identity: Identity) -> Client:
    form = identity.form()
    url = api if "://" in api else f"https://{api}"
    if not urlsplit(url).hostname:
        raise click.UsageError(f"--api wants a URL such as https://api.system.localhost, not {api!r}")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        why = error.strerror or "it holds no certificate"
        raise click.UsageError(
            f"--ca {ca} cannot be read ({why}); a node keeps its CA in DATA/certificates/ca.pem"
        ) from error
    http = httpx.Client(transport=_LocalhostTransport(verify=context), base_url=url, timeout=REQUEST_TIMEOUT_S)
    with _explained():
        answer = http.get("/")
        try:
            links = answer.json()["links"]
            login = links["login"]["href"]
        except (ValueError, LookupError, TypeError) as error:
            raise click.ClickException(
                f"{url} answers, but is no Cloud Foundry API; --api wants one such as https://api.system.localhost"
            ) from error
    refresh: dict[str, str] = {}

    def sign_in() -> None:
        auth = httpx.USE_CLIENT_DEFAULT if identity.token else ("cf", "")
        with _explained():
            http.headers.pop("Authorization", None)
            answer = http.post(login + "/oauth/token", data=refresh or form, auth=auth)
        if answer.is_error:
            name = form.get("username") or form.get("client_id") or "whom the passcode was made for"
            raise click.ClickException(_sign_in_refused(name, answer))
        reply = answer.json()
        http.headers["Authorization"] = "bearer " + reply["access_token"]
        if "refresh_token" in reply:
            refresh.update(grant_type="refresh_token", refresh_token=reply["refresh_token"])

    sign_in()
    return Client(http, sign_in)


def _sign_in_refused(user: str, answer: httpx.Response) -> str:
    try:
        why = answer.json()["error_description"]
    except (ValueError, LookupError, TypeError):
        why = f"{answer.status_code} {answer.text[:200]}"
    hint = "; a node keeps the password of admin in DATA/admin-password" if user == "admin" else ""
    return f"sign-in as {user} was refused: {why}{hint}"
