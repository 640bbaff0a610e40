"""libnftables in this process: a transaction takes 0.6 ms, the `nft` program 3 ms. Every call blocks: use a thread."""

import ctypes
import json
import threading
from typing import Any, Self

from paasd.errors import PaasdError

_OUTPUT_JSON = 1 << 4


class NftError(PaasdError):
    """The kernel or the library refused a ruleset; nothing of it was applied."""


class Nft:
    """One libnftables context. Calls are serialised by a lock, for a context is not thread-safe."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL("libnftables.so.1")
        except OSError as error:
            raise NftError("libnftables.so.1 is missing: apt-get install nftables") from error
        library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
            getattr(library, name).argtypes = [ctypes.c_void_p]
        for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        self._lock = threading.Lock()
        self._context: int | None = library.nft_ctx_new(0)
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, _OUTPUT_JSON)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._context is not None:
                self._library.nft_ctx_free(self._context)
                self._context = None

    def run(self, commands: str) -> list[dict[str, Any]]:
        """Run `commands` as one transaction; list commands give their objects. Raises NftError."""
        with self._lock:
            if self._context is None:
                raise NftError("the nft context is closed")
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
            errors: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
        if failed:
            raise NftError(f"nft refused: {errors.decode(errors='replace').strip()[:2000]}")
        objects: list[dict[str, Any]] = []
        for line in output.decode().splitlines():
            if line.strip():
                objects += json.loads(line).get("nftables", [])
        return objects

    def tables(self) -> set[str]:
        """Names of the inet tables of this network namespace."""
        return {o["table"]["name"] for o in self.run("list tables inet") if "table" in o}

    def elements(self, table: str, name: str) -> list[Any]:
        """Elements of a set, or keys of a map, as libnftables-json(5) writes them."""
        for found in self.run(f"list set inet {table} {name}"):
            if "set" in found:
                return list(found["set"].get("elem", []))
        return []

    def concatenated_keys(self, table: str, name: str) -> list[tuple[str, ...]]:
        """Keys of a map whose key is a concatenation."""
        keys = []
        for found in self.run(f"list map inet {table} {name}"):
            for element in found.get("map", {}).get("elem", []):
                keys.append(tuple(str(part) for part in element[0]["concat"]))
        return keys

    def redirect_port(self, table: str, chain: str) -> int:
        """The port to which a chain's first redirect leads; 0 without one."""
        for found in self.run(f"list chain inet {table} {chain}"):
            for expression in found.get("rule", {}).get("expr", []):
                if "redirect" in expression:
                    return int(expression["redirect"]["port"])
        return 0

    def set_comments(self, table: str) -> dict[str, str | None]:
        """Sets of a table with the comment of each."""
        found = [o["set"] for o in self.run(f"list table inet {table}") if "set" in o]
        return {s["name"]: s.get("comment") for s in found}

    def names(self, table: str, kind: str) -> set[str]:
        """Names of the chains, sets or maps (`kind` in the singular) of a table."""
        return {o[kind]["name"] for o in self.run(f"list table inet {table}") if kind in o}
