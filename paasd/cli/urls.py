"""Where apps answer, as URLs that one can click on."""

from typing import Any

from paasd.cli.client import Client


class Urls:
    """Routes as https URLs with the port of the platform, or as tcp URLs with their own."""

    def __init__(self, client: Client) -> None:
        port = client.call("GET", "/paasd/v1")["https_port"]
        self._suffix = "" if port == 443 else f":{port}"

    def of(self, routes: list[dict[str, Any]]) -> list[str]:
        """One URL for each."""
        found = []
        for route in routes:
            host, slash, path = route["url"].partition("/")
            tcp = route["protocol"] == "tcp"
            found.append(f"tcp://{host}" if tcp else f"https://{host}{self._suffix}{slash}{path}")
        return found
