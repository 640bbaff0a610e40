"""What builds may reach: package indexes and hosts of [staging], seeded from this host's own settings."""

import configparser
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec
import structlog
import trio

from paasd.config import StagingConfig
from paasd.sandbox import EgressRule

PYPI = "https://pypi.org/simple"
# The public index answers with addresses of its file host.
_COMPANIONS = {"pypi.org": ("files.pythonhosted.org",), "registry.yarnpkg.com": ("registry.npmjs.org",)}
NPM = "https://registry.npmjs.org/"
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Environment of package managers, and hosts with their ports."""

    environment: dict[str, str]
    hosts: tuple[tuple[str, int], ...]
    certificates: Path | None


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """The same with names resolved: for the container."""

    hosts: dict[str, str]
    egress: tuple[EgressRule, ...]
    unresolved: tuple[str, ...]


def read_sources(config: StagingConfig, environ: Mapping[str, str] = os.environ) -> Sources:
    """Blocks: asks pip and reads npm's files. Passwords in the host's own addresses are not given to tenants."""
    inherited = config.inherit_host_settings
    pip = _pip_settings() if inherited else {}
    npm = _npm_settings(environ) if inherited else {}
    index = config.pip_index_url or without_password(pip.get("index-url", "")) or PYPI
    extra = config.pip_extra_index_urls or tuple(map(without_password, pip.get("extra-index-url", "").split()))
    registry = config.npm_registry or without_password(npm.get("registry", "")) or NPM
    proxies = _proxies(environ) if inherited else {}
    bundle = config.certificates or next(
        (
            path
            for path in (
                environ.get("PIP_CERT"),
                environ.get("SSL_CERT_FILE"),
                pip.get("cert"),
                npm.get("cafile"),
                *_BUNDLES,
            )
            if inherited and path and Path(path).is_file()
        ),
        "",
    )
    hosts: dict[tuple[str, int], None] = {}
    for url in (index, *extra, registry, *(value for name, value in proxies.items() if name != "no_proxy")):
        for host in _hosts_of(url):
            hosts[host] = None
    for allowed in config.allowed:
        name, _, port = allowed.partition(":")
        hosts[name.strip().lower(), int(port) if port.isdigit() else 443] = None
    environment = {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index, "npm_config_registry": registry, **proxies}
    environment["YARN_NPM_REGISTRY_SERVER"] = registry.rstrip("/")
    if extra:
        environment |= {"UV_INDEX": " ".join(extra), "PIP_EXTRA_INDEX_URL": " ".join(extra)}
    if registry != NPM:
        environment["YARN_REGISTRY"] = registry
    return Sources(environment=environment, hosts=tuple(hosts), certificates=Path(bundle) if bundle else None)


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """The host's, but for those with a password: of no use without it, and with it every tenant would read it."""
    found = {name: environ[key] for name in _PROXIES for key in (name, name.upper()) if environ.get(key)}
    for name in [name for name, value in found.items() if "@" in value]:
        del found[name]
        advice = "let a proxy without one listen for builds, or name indexes within reach in [staging]"
        structlog.get_logger().warning("a proxy with a password is not given to builds", proxy=name, advice=advice)
    return found


def certificate_environment(path: str) -> dict[str, str]:
    """The variables by which the usual tools find a bundle at `path`."""
    names = (
        "SSL_CERT_FILE",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
    )
    return {**dict.fromkeys(names, path), "npm_config_cafile": path, "YARN_HTTPS_CA_FILE_PATH": path}


async def resolve(sources: Sources) -> Reach:
    """Ask the host's resolver now; one address a name, so that /etc/hosts and the rules agree."""
    found: dict[str, str] = {}
    rules: list[EgressRule] = []
    unresolved: list[str] = []
    answers: dict[str, list[str]] = {}

    async def ask(name: str) -> None:
        try:
            infos = await trio.socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError:
            infos = []
        answers[name] = [str(info[4][0]) for info in infos]

    async with trio.open_nursery() as nursery:
        for name in {name for name, _ in sources.hosts}:
            nursery.start_soon(ask, name)
    for name, port in sources.hosts:
        if not answers[name]:
            unresolved.append(name)
            continue
        found[name] = answers[name][0]
        rules.append(EgressRule(f"{found[name]}/32", "tcp", ((port, port),)))
    return Reach(hosts=found, egress=tuple(dict.fromkeys(rules)), unresolved=tuple(dict.fromkeys(unresolved)))


def without_password(url: str) -> str:
    """The address without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _hosts_of(url: str) -> list[tuple[str, int]]:
    parts = urlsplit(url)
    if not parts.hostname:
        return []
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return [(parts.hostname, port), *((name, port) for name in _COMPANIONS.get(parts.hostname, ()))]


def _pip_settings() -> dict[str, str]:
    """`pip config list`: later kinds win as they do in pip (site, user, then environment)."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    ranked: dict[str, tuple[int, str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        rank = {"global": 0, "install": 1, "download": 1, ":env:": 2}.get(section)
        if rank is not None and rank >= ranked.get(option, (0, ""))[0]:
            ranked[option] = rank, value.strip().strip("'\"").replace("\\n", " ")
    return {option: value for option, (_, value) in ranked.items()}


def _npm_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Only the registry and the bundle, from the files and variables that npm reads; never tokens."""
    found: dict[str, str] = {}
    home = Path(environ.get("HOME", "/root"))
    for path in (Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/usr/local/etc/npmrc"), home / ".npmrc"):
        try:
            text = path.read_text()
        except OSError:
            continue
        parser = configparser.RawConfigParser(delimiters=("=",), strict=False, allow_no_value=True)
        try:
            parser.read_string("[npm]\n" + text)
        except configparser.Error:
            continue
        for name in ("registry", "cafile"):
            value = parser["npm"].get(name)
            if value:
                found[name] = value.strip("\"'")
    for name in ("registry", "cafile"):
        value = environ.get(f"npm_config_{name}") or environ.get(f"NPM_CONFIG_{name.upper()}")
        if value:
            found[name] = value
    return found
