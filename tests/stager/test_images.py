"""What the images of a droplet hold: equal dependencies are equal bytes, files of the app have honest times."""

import io
import tarfile

import pytest

from .test_staticfile import site
from .world import World, get

pytestmark = pytest.mark.root

CHECKED_HASH = 0b11


async def test_equal_dependencies_are_equal_bytes_whoever_built_them(world: World) -> None:
    files: dict[str, str | bytes] = {
        "requirements.txt": "itsdangerous==2.2.0\n",
        "Procfile": "web: python -m http.server $PORT\n",
    }
    async with world.staging():
        await world.app("one")
        await world.app("two", organization="other")
        one = await world.stage("one", files)
        two = await world.stage("two", files)
        assert not any("nothing to install" in line for line in world.lines("two"))
        assert [layer.role for layer in one.layers] == ["dependencies", "app"]
        assert one.layers[0] == two.layers[0]
        async with world.running(one) as container:
            code = "import itsdangerous, sys; file = open(itsdangerous.__cached__, 'rb'); file.seek(4); "
            code += f"flags = file.read(1)[0]; sys.exit(0 if flags == {CHECKED_HASH} else 10 + flags)"
            command = ("/bin/bash", "-c", f'/home/vcap/deps/0/bin/python -c "{code}"')
            handle = await container.exec(command, {"HOME": "/home/vcap/app"}, "/")
            assert await handle.wait() == 0


def dated(files: dict[str, str | bytes], mtime: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o644, mtime
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


async def test_pages_have_the_time_of_their_file_and_else_that_of_their_staging(world: World) -> None:
    files = site("")
    async with world.staging():
        await world.app("site")
        known = await world.stage("site", dated(files, 1_700_000_000))
        async with world.running(known) as container:
            _, first, _ = await get(container.address)
        assert first["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
        # A page of the same size: a browser must see that it is another one.
        files = {name: str(content).replace("<", ">") for name, content in files.items()}
        unknown = await world.stage("site", dated(files, 0))
        async with world.running(unknown) as container:
            _, second, _ = await get(container.address)
        assert second["content-length"] == first["content-length"]
        assert second["etag"] != first["etag"]
        assert "1970" not in second["last-modified"]
