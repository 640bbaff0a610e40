"""Uploads that no app is in: refused by name with what to do, while the app's earlier droplet goes on serving."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator

import pytest
import trio

from tests.node.harness import HELLO, SPACE, Pusher, archive
from tests.node.site import Site

pytestmark = pytest.mark.root

MILLION = 1_000_000
MIB = 1024 * 1024
APP = "victim"


def tar_with(**fields: object) -> bytes:
    """The app, and one more entry."""
    packed = io.BytesIO(gzip.decompress(archive(HELLO)))
    with tarfile.open(fileobj=packed, mode="a") as tar:
        info = tarfile.TarInfo("odd")
        for name, value in fields.items():
            setattr(info, name, value)
        tar.addfile(info)
    return gzip.compress(packed.getvalue())


def zip_with(name: str, mode: int, content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        file.writestr(info, content)
    return packed.getvalue()


def bomb() -> bytes:
    """200 MB in 200 KB."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file, file.open("zeros", "w") as zeros:
        for _ in range(200):
            zeros.write(bytes(MIB))
    return packed.getvalue()


def tar_bomb() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("zeros")
        info.size = 200 * MIB
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    return packed.getvalue()


def million_tar() -> bytes:
    """10^6 empty files."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for start in range(0, MILLION, 10_000):
            file.write(b"".join(headers(start, start + 10_000)))
        file.write(bytes(1024))
    return packed.getvalue()


def headers(start: int, end: int) -> Iterator[bytes]:
    """Tar headers made from one: only the name and its part of the check sum differ."""
    blank = tarfile.TarInfo("0" * 7).tobuf(tarfile.USTAR_FORMAT)
    total = int(blank[148:156].split(b"\0")[0], 8) - 7 * ord("0")
    for number in range(start, end):
        name = b"%07d" % number
        yield name + blank[7:148] + b"%06o\0 " % (total + sum(name)) + blank[156:]


def million_zip() -> bytes:
    """A central directory of 10^6 entries, which all mean the same empty file."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 7, 0) + b"0000000"
    fixed = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0)
    central = b"".join(fixed + b"%07d" % number for number in range(MILLION))
    at = len(local) + len(central)
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, MILLION, MILLION, len(central), len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, at, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, len(central), len(local), 0)
    return local + central + end64 + locator + end


OUTSIDE = "make the archive from inside the app"
KINDS = "push files, directories and links only"
SMALLER = "leave out what the app does not need with .cfignore"
CASES: dict[str, tuple[Callable[[], bytes], list[str]]] = {
    "traversal": (lambda: tar_with(name="../evil"), ["entry '../evil' leads outside the app", OUTSIDE]),
    "traversal in a zip": (lambda: zip_with("../evil", 0o100644, b"x"), ["entry '../evil'", OUTSIDE]),
    "absolute name": (lambda: tar_with(name="/etc/cron.d/evil"), ["'/etc/cron.d/evil' has an absolute", OUTSIDE]),
    "link out": (
        lambda: tar_with(type=tarfile.SYMTYPE, linkname="/etc/shadow"),
        ["link 'odd' leads outside the app, to '/etc/shadow'", "push a copy of the file instead"],
    ),
    "link out of a zip": (lambda: zip_with("odd", 0o120777, b"../../etc"), ["link 'odd'", "push a copy of the file"]),
    "hard link": (lambda: tar_with(type=tarfile.LNKTYPE, linkname="/etc/shadow"), ["'odd' is a hard link", KINDS]),
    "character device": (lambda: tar_with(type=tarfile.CHRTYPE, devmajor=1), ["'odd' is a character device", KINDS]),
    "block device": (lambda: tar_with(type=tarfile.BLKTYPE, devmajor=7), ["'odd' is a block device", KINDS]),
    "zip bomb": (bomb, ["unpacks to more than 64 MB, at 'zeros'", SMALLER]),
    "tar bomb": (tar_bomb, ["unpacks to more than 64 MB, at 'zeros'", SMALLER]),
    "million entries": (million_tar, ["more than 5000 entries", "'0005000'", ".cfignore"]),
    "million entries in a zip": (million_zip, ["more than 5000 entries", ".cfignore"]),
    "truncated": (lambda: archive({"data": bytes(range(256)) * 4096})[:2000], ["truncated", "upload it again, whole"]),
    "no archive": (lambda: b"<html>moved</html>", ["neither a zip nor a tar.gz archive", "pack the app's directory"]),
    "empty": (lambda: b"", ["The body is empty", "send a zip or tar.gz archive"]),
}


async def push_victim(pusher: Pusher) -> str:
    """The app whose earlier droplet is not to be lost; what it answers names its instance."""
    result = await pusher.push(APP, HELLO)
    assert result["type"] == "result", result
    return (await pusher.get(f"{APP}.apps.localhost")).text


async def test_each_refused_archive_is_named_with_its_fix_and_the_earlier_droplet_serves(site: Site) -> None:
    async with site.pusher() as pusher:
        instance = await push_victim(pusher)
        wrong = {}
        for name, (make, expected) in CASES.items():
            bits = await trio.to_thread.run_sync(make)
            result = await pusher.push(APP, bits)
            if result["type"] != "error" or any(text not in result["detail"] for text in expected):
                wrong[name] = result.get("detail", result)
            answer = await pusher.get(f"{APP}.apps.localhost")
            assert (answer.status_code, answer.text) == (200, instance), name
        assert wrong == {}
        assert (await pusher.push(APP, HELLO))["type"] == "result"
        await pusher.delete(APP)


async def test_an_upload_cut_off_by_its_client_changes_nothing(site: Site) -> None:
    async with site.pusher() as pusher:
        instance = await push_victim(pusher)
        app = await pusher.app(APP)
        relationships = {"app": {"data": {"guid": app["guid"]}}}
        answer = await pusher.api.post("/v3/packages", json={"type": "bits", "relationships": relationships})
        package = answer.json()["guid"]
        for path, kind in (
            (f"{SPACE}/push?name={APP}", "application/octet-stream"),
            (f"/v3/packages/{package}/upload", "multipart/form-data; boundary=cut"),
        ):
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 9000000\r\n\r\n"
            part = '--cut\r\nContent-Disposition: form-data; name="bits"; filename="a.zip"\r\n\r\n'
            async with await trio.open_unix_socket(str(site.daemon.socket)) as stream:
                await stream.send_all(head.encode() + part.encode() * ("multipart" in kind) + bytes(MIB))
        with trio.fail_after(30):
            while (found := (await pusher.api.get(f"/v3/packages/{package}")).json())["state"] == "PROCESSING_UPLOAD":
                await trio.sleep(0.05)
        assert found["state"] in ("AWAITING_UPLOAD", "FAILED"), found
        assert (await pusher.get(f"{APP}.apps.localhost")).text == instance
        builds = (await pusher.api.get("/v3/builds", params={"app_guids": app["guid"]})).json()["resources"]
        assert len(builds) == 1
        await pusher.delete(APP)
