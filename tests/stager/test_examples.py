"""Every sample app, staged from source in the real sandbox and asked over HTTP."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from .world import EXAMPLES, World, get

pytestmark = pytest.mark.root


async def test_flask_app_with_locked_requirements_is_staged_and_served(world: World) -> None:
    async with world.staging():
        await world.app("flask", environment={"GREETING": "good day"})
        droplet = await world.stage("flask", EXAMPLES / "flask-app")
        assert [layer.role for layer in droplet.layers] == ["dependencies", "app"]
        assert droplet.process_types == {"web": "gunicorn app:app"}
        assert droplet.buildpacks[0].name == "python"
        assert droplet.buildpacks[0].detect_output == "python"
        async with world.running(droplet, environment={"GREETING": "good day"}) as container:
            status, _, body = await get(container.address, "/health")
            assert status == 200
            assert json.loads(body) == {"status": "up", "greeting": "good day"}


async def test_django_app_has_its_static_files_collected(world: World) -> None:
    async with world.staging():
        await world.app("django")
        droplet = await world.stage("django", EXAMPLES / "django-app")
        assert any("static file" in line for line in world.lines("django"))
        async with world.running(droplet) as container:
            status, _, page = await get(container.address)
            assert status == 200
            style = page.decode().split('href="')[1].split('"')[0]
            status, headers, body = await get(container.address, style)
            assert status == 200
            assert "text/css" in headers["content-type"]
            assert b"sans-serif" in body


async def test_asgi_app_upgrades_to_a_websocket(world: World) -> None:
    async with world.staging():
        await world.app("chat")
        droplet = await world.stage("chat", EXAMPLES / "asgi-chat")
        async with world.running(droplet) as container:
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            }
            stream = await trio.open_tcp_stream(container.address, 8080)
            async with stream:
                lines = [
                    "GET /chat HTTP/1.1",
                    "Host: app.example",
                    *(f"{name}: {value}" for name, value in upgrade.items()),
                ]
                await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
                answer = await stream.receive_some(4096)
                assert answer.startswith(b"HTTP/1.1 101")
                # One masked text frame, "hi", with an all-zero mask.
                await stream.send_all(b"\x81\x82\0\0\0\0hi")
                assert await stream.receive_some(64) == b"\x81\x02hi"


async def test_express_app_is_built_with_development_tools_and_runs_without_them(world: World) -> None:
    async with world.staging():
        await world.app("express")
        droplet = await world.stage("express", EXAMPLES / "express-app")
        assert [layer.role for layer in droplet.layers] == ["toolchain", "dependencies", "app"]
        async with world.running(droplet) as container:
            status, _, body = await get(container.address, "/api/time", {"X-Forwarded-Proto": "https"})
            assert status == 200
            assert json.loads(body)["secure"] is True
            assert (await get(container.address, "/client.js"))[0] == 200
            modules = ("ls", "/home/vcap/app/node_modules")
            handle = await container.exec(("/bin/sh", "-c", f"{' '.join(modules)} | grep -qx express"), {}, "/")
            assert await handle.wait() == 0
            handle = await container.exec(("/bin/sh", "-c", f"{' '.join(modules)} | grep -qx esbuild"), {}, "/")
            assert await handle.wait() == 1


async def test_static_site_is_served_by_nginx_with_the_options_of_its_staticfile(world: World) -> None:
    async with world.staging():
        await world.app("site")
        droplet = await world.stage("site", EXAMPLES / "static-site")
        async with world.running(droplet) as container:
            status, headers, body = await get(container.address)
            assert status == 200
            assert b"Served by nginx" in body
            assert headers["strict-transport-security"] == "max-age=31536000"
            status, _, body = await get(container.address, "/nothing")
            assert status == 404
            assert b"There is no such page" in body


async def test_binary_is_run_as_it_was_pushed(world: World, tmp_path: Path) -> None:
    source = tmp_path / "c-binary"
    shutil.copytree(EXAMPLES / "c-binary", source)
    await trio.run_process(["make", "-s"], cwd=source)
    async with world.staging():
        await world.app("binary")
        droplet = await world.stage("binary", source, buildpacks=["binary_buildpack"])
        assert [layer.role for layer in droplet.layers] == ["app"]
        async with world.running(droplet) as container:
            assert (await get(container.address))[2] == b"Hello from C, instance 0\n"
            handle = await container.exec(("/usr/bin/test", "-e", "/home/vcap/app/server.c"), {}, "/")
            assert await handle.wait() == 1
