import pytest

from paasd.buildpacks.hashing import xxh64
from paasd.buildpacks.versions import BadRange, newest

NODES = ["18.20.0", "20.18.0", "22.20.0", "24.19.0"]
PYTHONS = ["3.11.2", "3.12.7", "3.13.5"]

NPM = [
    ("*", "24.19.0"), ("", "24.19.0"), ("22", "22.20.0"), ("22.x", "22.20.0"), ("^20.0.0", "20.18.0"),
    ("~20.18", "20.18.0"),
    (">=18", "24.19.0"), (">=18 <23", "22.20.0"), ("18 || 20", "20.18.0"), ("18 - 20", "20.18.0"), ("<=20", "20.18.0"),
    (">20", "24.19.0"), ("12.x", None), ("^22.21.0", None), ("v22.20.0", "22.20.0"),
    (">= 18", "24.19.0"), ("=20.18.0", "20.18.0"), ("<20.18.0", "18.20.0"),
]  # fmt: skip
PYTHON = [
    ("3.11", "3.11.2"), ("3.11.x", "3.11.2"), ("python-3.12.7", "3.12.7"), (">=3.11", "3.13.5"),
    (">=3.11,<3.13", "3.12.7"),
    ("~=3.11.0", "3.11.2"), ("~=3.11", "3.13.5"), ("^3.11", "3.13.5"), ("3.11.9", None), ("==3.12.*", "3.12.7"),
    (">=3.14", None), ("!=3.13.5", "3.12.7"), ("3", "3.13.5"), ("3.13.5rc1", "3.13.5"),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "expected"), NPM)
def test_npm_ranges(wanted: str, expected: str | None) -> None:
    assert newest(NODES, wanted, style="npm") == expected


@pytest.mark.parametrize(("wanted", "expected"), PYTHON)
def test_python_versions(wanted: str, expected: str | None) -> None:
    assert newest(PYTHONS, wanted, style="python") == expected


@pytest.mark.parametrize("wanted", ["banana", "3.x.y.z!", "latest"])
def test_what_is_no_version_is_said_to_be_none(wanted: str) -> None:
    with pytest.raises(BadRange):
        newest(PYTHONS, wanted, style="python")


@pytest.mark.parametrize(
    ("text", "digest"),
    [("", "ef46db3751d8e999"), ("a", "d24ec4f1a98c6e5b"), ("abc", "44bc2cf5ad770999")],
)
def test_xxhash64_gives_the_published_digests(text: str, digest: str) -> None:
    assert xxh64(text.encode()) == digest
