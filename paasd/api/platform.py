"""What handlers reach: the actions' context, the judge of tokens, and the addresses of the platform's own doors."""

import re
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec import UNSET, UnsetType

from paasd.actions import Context
from paasd.api.answers import Answer
from paasd.api.call import Urls
from paasd.api.limits import CallLimits
from paasd.api.stream import Source, Streams, UserShares
from paasd.api.turns import CallTurns
from paasd.auth.service import Auth
from paasd.config import Config
from paasd.errors import Unavailable
from paasd.model import Droplet

API_VERSION = "3.215.0"
SSH_CLIENT = "ssh-proxy"
LOG_CACHE_VERSION = "3.2.12"


class DoorMeta(Answer):
    """What a client should know of a door."""

    version: str | UnsetType = UNSET
    host_key_fingerprint: str | UnsetType = UNSET
    oauth_client: str | UnsetType = UNSET


class Door(Answer):
    """A door of the platform; `href` of ssh is an address without a scheme."""

    href: str
    meta: DoorMeta | UnsetType = UNSET


class SshDoor(Protocol):
    """Where `cf ssh` connects, when the node has that door; its address is empty while it does not listen."""

    @property
    def address(self) -> str: ...

    @property
    def public_key(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...


async def no_downloads(_droplet: Droplet) -> Source:
    """For an API without a sandbox."""
    raise Unavailable("Droplets cannot be downloaded from this node.")


class Platform:
    """Shared by all handlers of one node."""

    def __init__(
        self,
        context: Context,
        auth: Auth,
        config: Config,
        version: str,
        *,
        https_port: int = 443,
        ssh: SshDoor | None = None,
        downloads: Callable[[Droplet], Awaitable[Source]] = no_downloads,
    ) -> None:
        self.context = context
        self.auth = auth
        self.config = config
        self.version = version
        self.ssh = ssh
        self.downloads = downloads
        self.streams = Streams(config.api.follow_limit)
        self.call_limits = CallLimits(config.api, time.monotonic, context.clock)
        self.call_turns = CallTurns(config.api)
        # Half, so that calls which take no time always find a connection.
        self.uploads = UserShares(config.api.connections_limit // 2, "uploads", "half of api.connections_limit")
        self.https_port = https_port

    def doors(self, urls: Urls) -> dict[str, str]:
        """Addresses of login, uaa, log_cache for a client that came in by `urls.base`.

        Through the router each door has its own name; on the loopback port and the Unix socket all share one.
        """
        system = re.escape(self.config.domains.system)
        match = re.fullmatch(rf"(https?://)(?:[a-z-]+\.)?{system}(:\d+)?", urls.base, re.IGNORECASE)
        if match is None:
            return {
                "login": urls.base + "/uaa",
                "uaa": urls.base + "/uaa",
                "log_cache": urls.base,
                "api": urls.base,
                "logging": re.sub("^http", "ws", urls.base),
            }
        scheme, port = match[1], match[2] or ""

        def door(name: str, scheme: str = scheme) -> str:
            return f"{scheme}{name}.{self.config.domains.system}{port}"

        return {
            "login": door("login"),
            "uaa": door("login"),
            "log_cache": door("log-cache"),
            "api": door("api"),
            "logging": door("doppler", "wss://" if scheme == "https://" else "ws://"),
        }

    def app_url(self, name: str) -> str:
        """Where people reach a route: by HTTPS, or at the port that it has."""
        host, slash, path = name.partition("/")
        if ":" in host:
            return f"tcp://{name}"
        if self.https_port == 443:
            return f"https://{name}"
        return f"https://{host}:{self.https_port}{slash}{path}"

    def public_url(self, door: str, path: str) -> str:
        """A door's address for somebody else than who asks, so never by the name that the request came in on."""
        return self.app_url(f"{door}.{self.config.domains.system}{path}")

    def root_links(self, urls: Urls) -> dict[str, Door | None]:
        """The `links` of `GET /`."""
        doors = self.doors(urls)
        api = doors["api"]
        ssh = None
        if self.ssh is not None and self.ssh.address:
            meta = DoorMeta(host_key_fingerprint=self.ssh.fingerprint, oauth_client=SSH_CLIENT)
            ssh = Door(href=self.ssh.address, meta=meta)
        return {
            "self": Door(href=api),
            "cloud_controller_v2": None,
            "cloud_controller_v3": Door(href=f"{api}/v3", meta=DoorMeta(version=API_VERSION)),
            "network_policy_v0": None,
            "network_policy_v1": Door(href=f"{api}/networking/v1/external"),
            "login": Door(href=doors["login"]),
            "uaa": Door(href=doors["uaa"]),
            "credhub": None,
            "routing": Door(href=f"{api}/routing") if self.context.tcp_ports else None,
            "logging": Door(href=doors["logging"]),
            "log_cache": Door(href=doors["log_cache"]),
            "log_stream": None,
            "app_ssh": ssh,
            "paasd": Door(href=f"{api}/paasd/v1"),
        }
