"""A real API server on loopback, with real state, blobs and logs below a temporary folder."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from paasd.actions import Context
from paasd.api.app import make_app
from paasd.api.platform import Platform
from paasd.api.routes import make_route_table
from paasd.api.server import Doors, open_server
from paasd.auth import ADMIN_SCOPES
from paasd.auth.opening import open_auth
from paasd.auth.service import Auth
from paasd.blobs import open_blobs
from paasd.config import ApiConfig, AuthConfig, Config
from paasd.logs import open_logs
from paasd.model.arguments import SYSTEM
from paasd.model.settings import Bootstrap, bootstrap
from paasd.model.users import CreateUser, create_user
from paasd.observed import Observed
from paasd.state import Log
from paasd.state.sealing import load_root_key, open_sealer
from tests.api.conforming import conforms
from tests.fresh import open_fresh

PASSWORD = "a quiet harbour town in april"
CHEAP_HASHES = AuthConfig(hash_memory_kib=64, hash_time_cost=1, login_wait_s=0.0)

API = ApiConfig(
    port=0, grace_s=1.0, calls_per_h=0, changes_per_min=0, changes_per_day=0, organization_changes_per_day=0
)
"""Some tests make more calls in a minute than people may."""


async def content_type_on_everything(request: httpx.Request) -> None:
    """The CLI says that it sends JSON on GET and on empty POST too."""
    request.headers.setdefault("Content-Type", "application/json")


class Clock:
    """Real time that a test can move on."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


class Served:
    """A running API and what it stands on."""

    def __init__(
        self, context: Context, auth: Auth, doors: Doors, clock: Clock, end_streams: Callable[[], None]
    ) -> None:
        self.context = context
        self.auth = auth
        self.doors = doors
        self.clock = clock
        self.end_streams = end_streams

    def client(self, token: str | None = None, **more: Any) -> httpx.AsyncClient:
        """An HTTP client of the TCP door, with the CLI's odd headers on every call. It looks at what comes back."""
        headers = {"Accept": "application/json"}
        if token is not None:
            headers["Authorization"] = f"bearer {token}"
        hooks = {"request": [content_type_on_everything], "response": [conforms]}
        return httpx.AsyncClient(base_url=self.doors.url, headers=headers, timeout=20, event_hooks=hooks, **more)

    def root_client(self) -> httpx.AsyncClient:
        """A client of the Unix socket."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.doors.unix_path))
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20)

    async def login(self, username: str = "admin", password: str = PASSWORD) -> dict[str, Any]:
        """The reply of the token endpoint."""
        async with httpx.AsyncClient(base_url=self.doors.url) as http:
            form = {"grant_type": "password", "username": username, "password": password}
            answer = await http.post("/uaa/oauth/token", data=form, auth=("cf", ""))
            assert answer.status_code == 200, answer.text
            reply: dict[str, Any] = answer.json()
            return reply

    async def admin(self) -> httpx.AsyncClient:
        """A client signed in as the administrator."""
        return self.client((await self.login())["access_token"])

    async def make_user(self, username: str, scopes: tuple[str, ...] = ()) -> str:
        """A user with the usual password; its guid."""
        arguments = CreateUser(
            username=username,
            password_hash=await self.auth.passwords.hash(PASSWORD),
            scopes=list(scopes),
            registered=True,
            actor=SYSTEM,
        )
        return (await self.context.database.write(create_user, arguments)).guid


@asynccontextmanager
async def serve(directory: Path, config: Config | None = None, *, log: Log | None = None) -> AsyncIterator[Served]:
    """Open everything that the API needs, with an administrator, an organization and a space."""
    clock = Clock()
    config = config or Config(api=API, auth=CHEAP_HASHES)
    async with (
        open_fresh(directory, config.state, log=log, clock=clock) as database,
        open_blobs(directory / "blobs", config.blobs, clock=clock) as blobs,
        open_logs(config.logs, directory / "logs", clock) as logs,
    ):
        sealer = await open_sealer(database, load_root_key(directory / "root-key"))
        context = Context(
            config=config,
            database=database,
            blobs=blobs,
            observed=Observed(),
            logs=logs,
            sealer=sealer,
            node_guid="node",
            clock=clock,
        )
        await database.write(bootstrap, Bootstrap(apps_domain=config.domains.apps))
        issuer = f"https://login.{config.domains.system}"
        async with open_auth(config.auth, database, sealer, issuer=issuer, clock=clock) as auth:
            platform = Platform(context, auth, config, "0.0")
            app = make_app(platform, make_route_table())
            socket = directory / "api.sock"
            async with open_server(app, config.api, socket, on_drain=platform.streams.end) as doors:
                served = Served(context, auth, doors, clock, platform.streams.end)
                if auth.find_user("admin") is None:
                    await served.make_user("admin", ADMIN_SCOPES)
                yield served


def with_api(**changes: Any) -> Config:
    """A test configuration with other limits of the API."""
    return Config(api=msgspec.structs.replace(API, **changes), auth=CHEAP_HASHES)
