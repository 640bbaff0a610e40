"""A person at an OpenSSH client, and the API that gives them codes."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE
from urllib.parse import parse_qs, urlsplit

import httpx
import trio

from tests.node.harness import Pusher

LIMIT_S = 30.0


class Hands:
    """Runs `ssh` and its relatives against one door; each call takes a code, unless one is given."""

    def __init__(self, home: Path, port: int, api: httpx.AsyncClient, host_key: str, headers: dict[str, str]) -> None:
        self._home = home
        self._port = port
        self._api = api
        self.headers = headers
        self.known_hosts = home / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{port} {host_key}\n")
        askpass = home / "askpass"
        askpass.write_text('#!/bin/sh\nprintf "%s\\n" "$CODE"\n')
        askpass.chmod(0o700)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "SSH_ASKPASS": str(askpass),
            "SSH_ASKPASS_REQUIRE": "force",
        }

    async def code(self) -> str:
        """As `cf ssh` asks for it."""
        query = {"client_id": "ssh-proxy", "response_type": "code"}
        answer = await self._api.get("/uaa/oauth/authorize", params=query, headers=self.headers)
        assert answer.status_code == 302, answer.text
        return parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]

    def options(self) -> list[str]:
        """What ssh, scp and sftp all take; the port is named by each in its own way."""
        return [
            *("-F", "none", "-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes"),
            *("-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"),
            *("-o", f"Port={self._port}"),
        ]

    async def environment(self, code: str | None = None) -> dict[str, str]:
        return {**self._environment, "CODE": await self.code() if code is None else code}

    async def run(
        self, program: Sequence[str], *, code: str | None = None, given: bytes = b"", limit_s: float = LIMIT_S
    ) -> "subprocess.CompletedProcess[bytes]":
        """Run one of them to its end."""
        command = [program[0], *self.options(), *program[1:]]
        with trio.fail_after(limit_s):
            return await trio.run_process(
                command,
                stdin=given,
                env=await self.environment(code),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )

    async def ssh(
        self, user: str, *command: str, code: str | None = None, given: bytes = b"", options: Sequence[str] = ()
    ) -> "subprocess.CompletedProcess[bytes]":
        """A command in the instance that `user` (cf:GUID/INDEX) names."""
        return await self.run(["ssh", *options, "-l", user, "127.0.0.1", *command], code=code, given=given)

    async def start(self, user: str, *command: str, options: Sequence[str] = (), stdin: int = PIPE) -> trio.Process:
        """The same, without waiting for its end. The caller sees to that."""
        argv = ["ssh", *self.options(), *options, "-l", user, "127.0.0.1", *command]
        return await trio.lowlevel.open_process(
            argv, stdin=stdin, stdout=PIPE, stderr=PIPE, env=await self.environment(), start_new_session=True
        )


async def ask_through(process: trio.Process, near: int, request: bytes) -> bytes:
    """All that is answered through the forwarded port of a client that has just been started, and never asks more."""
    while True:
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", near)
            break
        except OSError:
            assert process.poll() is None
            await trio.sleep(0.05)
    async with stream:
        await stream.send_all(request)
        await stream.send_eof()
        answer = b""
        while data := await stream.receive_some():
            answer += data
    return answer


async def token(api: httpx.AsyncClient, username: str, password: str) -> dict[str, str]:
    """The header of somebody who has signed in."""
    form = {"grant_type": "password", "username": username, "password": password}
    answer = await api.post("/uaa/oauth/token", data=form, auth=("cf", ""))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"bearer {answer.json()['access_token']}"}


async def target(node: Pusher, app: str, index: int = 0, process: str = "web") -> str:
    """The user name that means an instance."""
    guid = (await node.app(app))["guid"]
    found = (await node.api.get(f"/v3/apps/{guid}/processes/{process}")).json()["guid"]
    return f"cf:{found}/{index}"


def quoted(*words: str) -> str:
    return " ".join(map(shlex.quote, words))
