"""Every documented option of a Staticfile, asked of the real nginx."""

import gzip

import pytest

from .world import World, get

pytestmark = pytest.mark.root

INDEX = "<h1>home</h1>\n"


def site(staticfile: str, **files: str | bytes) -> dict[str, str | bytes]:
    return {"Staticfile": staticfile, "index.html": INDEX, **files}


async def test_defaults_serve_the_app_without_what_is_not_the_site(world: World) -> None:
    packed = gzip.compress(b"body { color: red }" * 100)
    files = site("", **{"a.css": "plain", "a.css.gz": packed, ".secret": "s", "sub/page.html": "sub"})
    async with world.staging():
        await world.app("site")
        droplet = await world.stage("site", files)
        async with world.running(droplet) as container:
            status, headers, body = await get(container.address)
            assert (status, body) == (200, INDEX.encode())
            assert "strict-transport-security" not in headers
            assert "nginx/" not in headers["server"]
            assert (await get(container.address, "/sub/page.html"))[0] == 200
            for absent in ("/Staticfile", "/.secret", "/missing", "/sub/", "/.git/config"):
                assert (await get(container.address, absent))[0] in (403, 404), absent
            status, headers, body = await get(container.address, "/a.css", {"Accept-Encoding": "gzip"})
            assert headers["content-encoding"] == "gzip"
            assert body == packed
        async with world.running(droplet, environment={"FORCE_HTTPS": "true"}) as container:
            status, headers, _ = await get(container.address, "/x?y=1", {"X-Forwarded-Host": "www.example"})
            assert (status, headers["location"]) == (301, "https://www.example/x?y=1")
            assert (await get(container.address, "/", {"X-Forwarded-Proto": "https"}))[0] == 200


async def test_every_switch_does_what_it_says(world: World) -> None:
    staticfile = """root: dist
host_dot_files: true
location_include: includes/*.conf
directory: visible
ssi: enabled
force_https: true
http_strict_transport_security: true
http_strict_transport_security_include_subdomains: true
http_strict_transport_security_preload: true
status_codes:
  404: /404.html
  5xx: /50x.html
"""
    files: dict[str, str | bytes] = {
        "Staticfile": staticfile,
        "dist/index.html": '<!--#echo var="HTTP_HOST" -->',
        "dist/404.html": "lost",
        "dist/list/one.txt": "1",
        "dist/.well-known/x": "dot",
        "nginx/conf/includes/own.conf": 'add_header X-Own "yes" always;\n',
    }
    secure = {"X-Forwarded-Proto": "https"}
    async with world.staging():
        await world.app("site")
        droplet = await world.stage("site", files)
        async with world.running(droplet) as container:
            status, headers, body = await get(container.address, "/", secure)
            assert status == 200
            assert b"app.example" in body
            expected = "max-age=31536000; includeSubDomains; preload"
            assert headers["strict-transport-security"] == expected
            assert headers["x-own"] == "yes"
            assert b"one.txt" in (await get(container.address, "/list/", secure))[2]
            assert (await get(container.address, "/.well-known/x", secure))[2] == b"dot"
            status, _, body = await get(container.address, "/none", secure)
            assert status == 404
            assert b"lost" in body
            assert (await get(container.address, "/"))[0] == 301


async def test_push_state_and_basic_authentication(world: World) -> None:
    # user:secret, as `openssl passwd -apr1 -salt saltsalt secret` writes it.
    auth = "user:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n"
    async with world.staging():
        await world.app("push")
        droplet = await world.stage("push", site("pushstate: enabled\n"))
        async with world.running(droplet) as container:
            assert (await get(container.address, "/any/where"))[2] == INDEX.encode()
        await world.app("auth")
        droplet = await world.stage("auth", site("", **{"Staticfile.auth": auth}))
        async with world.running(droplet) as container:
            assert (await get(container.address))[0] == 401
            assert (await get(container.address, "/", {"Authorization": "Basic dXNlcjpzZWNyZXQ="}))[0] == 200
            assert (await get(container.address, "/", {"Authorization": "Basic dXNlcjp3cm9uZw=="}))[0] == 401


async def test_a_site_is_built_by_one_buildpack_and_served_by_another(world: World) -> None:
    files: dict[str, str | bytes] = {
        "package.json": '{"scripts": {"build": "mkdir _site && echo built > _site/index.html"}}',
        "source.md": "# hello",
    }
    async with world.staging():
        await world.app("site")
        droplet = await world.stage("site", files, buildpacks=["nodejs_buildpack", "staticfile_buildpack"])
        assert [pack.buildpack_name for pack in droplet.buildpacks] == ["nodejs", "staticfile"]
        async with world.running(droplet) as container:
            assert (await get(container.address))[2] == b"built\n"
            assert (await get(container.address, "/source.md"))[0] == 404
