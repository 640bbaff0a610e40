"""Which buildpack, which file, which version, which key: pure looks at files."""

from pathlib import Path
from typing import Any

import pytest

from paasd.buildpacks import builtin
from paasd.buildpacks.catalogue import CatalogueError, load_catalogue
from paasd.buildpacks.failure import StagingFailure
from paasd.buildpacks.nodejs import manifest
from paasd.buildpacks.nodejs.failures import explain as explain_npm
from paasd.buildpacks.nodejs.profile import start_command as node_start
from paasd.buildpacks.python import runtime, sources
from paasd.buildpacks.python.failures import explain as explain_uv
from paasd.buildpacks.python.pipfile import requirement_lines
from paasd.buildpacks.python.suggest import start_command as python_start

from .plain import project

DETECTED: list[tuple[dict[str, str], str | None]] = [
    ({"requirements.txt": ""}, "python"),
    ({"Pipfile": ""}, "python"),
    ({"Pipfile.lock": "{}"}, "python"),
    ({"pyproject.toml": ""}, "python"),
    ({"pyproject.toml": "", "uv.lock": ""}, "python"),
    ({"setup.py": ""}, "python"),
    ({"uv.lock": ""}, None),
    ({"package.json": "{}"}, "nodejs"),
    ({"package.json": "{}", "requirements.txt": ""}, "nodejs"),
    ({"Staticfile": "", "package.json": "{}"}, "staticfile"),
    ({"Procfile": "web: x"}, "binary"),
    ({"Procfile": "web: x", "requirements.txt": ""}, "python"),
    ({"deep/requirements.txt": ""}, None),
    ({"index.html": ""}, None),
]


@pytest.mark.parametrize(("files", "expected"), DETECTED)
def test_built_in_buildpacks_detect_in_order(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    seen = project(tmp_path / "app", files)
    assert next((pack.name for pack in builtin.ORDER if pack.detect(seen) is not None), None) == expected


@pytest.mark.parametrize(
    "name",
    ["python", "python_buildpack", "python-buildpack", "https://github.com/cloudfoundry/python-buildpack.git#v1.8"],
)
def test_names_of_the_originals_mean_the_built_in_ones(name: str) -> None:
    found = builtin.resolve(name)
    assert found is not None
    assert found.name == "python"
    assert builtin.resolve("https://example.org/python-buildpack") is None


PYTHON_SOURCES: list[tuple[dict[str, str], str, bool]] = [
    ({"requirements.txt": "a==1\n", "uv.lock": "", "pyproject.toml": ""}, "requirements.txt", True),
    ({"requirements.txt": "a>=1\n"}, "requirements.txt", False),
    ({"requirements.txt": "-r base.txt\n", "base.txt": "a\n"}, "requirements.txt", False),
    (
        {"requirements.txt": "a==1 \\\n  --hash=sha256:00\n# c\n\nb==2 ; python_version > '3'\n"},
        "requirements.txt",
        True,
    ),
    ({"Pipfile": "", "Pipfile.lock": "{}"}, "Pipfile.lock", True),
    ({"pyproject.toml": "", "uv.lock": ""}, "uv.lock", True),
    ({"pyproject.toml": "", "poetry.lock": ""}, "poetry.lock", True),
    ({"pyproject.toml": ""}, "pyproject.toml", False),
]


@pytest.mark.parametrize(("files", "name", "locked"), PYTHON_SOURCES)
def test_python_dependencies_come_from_one_file(tmp_path: Path, files: dict[str, str], name: str, locked: bool) -> None:
    found = sources.find(project(tmp_path / "app", files))
    assert found is not None
    assert (found.name, found.locked) == (name, locked)


KEYS: list[tuple[dict[str, str], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"app.py": "changed"}, {"fingerprint": "other"}, True),
    ({"requirements.txt": "a==2\n"}, {}, False),
    ({}, {"env": {"UV_DEFAULT_INDEX": "https://other.example"}}, False),
    ({}, {"env": {"UNRELATED": "1"}}, True),
    ({}, {"stack": "other"}, False),
    ({}, {"index": "1"}, False),
    ({}, {"today": "2027-01-01"}, True),
    ({"requirements.txt": "a\n"}, {"today": "2027-01-01"}, False),
]


@pytest.mark.parametrize(("files", "changes", "same"), KEYS)
def test_a_layer_key_changes_with_what_is_installed(
    tmp_path: Path, files: dict[str, str], changes: dict[str, Any], same: bool
) -> None:
    def key(folder: str, more: dict[str, str], **other: Any) -> str:
        seen = project(tmp_path / folder / "app", {"requirements.txt": "a==1\n", **more}, **other)
        return sources.layer_key(seen, sources.find(seen), "3.11.2", "0.13")

    assert (key("one", {}) == key("two", files, **changes)) is same


def test_ranges_are_resolved_anew_every_day(tmp_path: Path) -> None:
    def key(folder: str, today: str) -> str:
        seen = project(tmp_path / folder / "app", {"requirements.txt": "a>=1\n"}, today=today)
        return sources.layer_key(seen, sources.find(seen), "3.11.2", "0.13")

    assert key("one", "2026-01-01") == key("two", "2026-01-01")
    assert key("one", "2026-01-01") != key("three", "2026-01-02")


RUNTIMES: list[tuple[dict[str, str], str]] = [
    ({}, "3.13.5"),
    ({"runtime.txt": "python-3.11.x"}, "3.11.2"),
    ({"runtime.txt": "python-3.11.9"}, "3.11.2"),
    ({".python-version": "# comment\n3.11\n"}, "3.11.2"),
    ({"runtime.txt": "python-3.11.2", ".python-version": "3.13"}, "3.11.2"),
    ({"pyproject.toml": '[project]\nrequires-python = ">=3.11,<3.13"\n'}, "3.11.2"),
    ({"pyproject.toml": '[tool.poetry.dependencies]\npython = "^3.11"\n'}, "3.13.5"),
    ({"Pipfile.lock": '{"_meta": {"requires": {"python_version": "3.11"}}}'}, "3.11.2"),
]
EXTRA = {"name": "python", "version": "3.13.5", "kind": "file", "source": "/python.tar", "layout": "tree"}


@pytest.mark.parametrize(("files", "expected"), RUNTIMES)
def test_the_python_that_the_app_asks_for(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    seen = project(tmp_path / "app", files, load_catalogue([EXTRA]))
    assert runtime.choose(seen, sources.find(seen)).version == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"runtime.txt": "python-3.9.x"}, "runtime.txt asks for Python 3.9.x, this node has 3.11.2"),
        ({".python-version": "3.14"}, ".python-version asks for Python 3.14, this node has 3.11.2"),
        ({"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "pyproject.toml asks for Python >=3.12"),
        ({"runtime.txt": "pypy"}, "no Python version"),
    ],
)
def test_a_python_that_is_missing_is_said_in_one_line(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    seen = project(tmp_path / "app", files)
    with pytest.raises(StagingFailure) as refused:
        runtime.choose(seen, sources.find(seen))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.advice


def test_pipfile_lock_becomes_requirement_lines(tmp_path: Path) -> None:
    lock = """{"_meta": {"sources": [{"url": "https://pypi.org/simple"}, {"url": "https://own.example/simple"}]},
      "default": {"a": {"version": "==1.0", "hashes": ["sha256:00"], "markers": "python_version > '3'"},
                  "b": {"version": "*", "extras": ["x", "y"]}, "c": {"git": "https://g.example/c", "ref": "v1"}},
      "develop": {"d": {"version": "==2"}}}"""
    assert requirement_lines(project(tmp_path / "app", {"Pipfile.lock": lock}), "Pipfile.lock") == [
        "--extra-index-url https://own.example/simple",
        "a==1.0 ; python_version > '3' --hash=sha256:00",
        "b[x,y]",
        "c @ git+https://g.example/c@v1",
    ]


def test_a_pipfiles_own_way_of_writing_markers_is_understood(tmp_path: Path) -> None:
    text = """[packages]
a = {version = "==1.0", sys_platform = "== 'win32'"}
b = {version = "*", markers = "python_version > '3'", os_name = "== 'nt'"}
"""
    assert requirement_lines(project(tmp_path / "app", {"Pipfile": text}), "Pipfile") == [
        "a==1.0 ; sys_platform == 'win32'",
        "b ; (python_version > '3') and (os_name == 'nt')",
    ]


STARTS: list[tuple[dict[str, str], str | None]] = [
    ({"app.py": "from flask import Flask\napp = Flask(__name__)\n"}, "gunicorn app:app"),
    ({"shop/wsgi.py": "application = get_wsgi_application()\n", "shop/asgi.py": "a = get_asgi_application()\n"},
     "gunicorn shop.wsgi:application"),
    ({"main.py": "import fastapi\napi = fastapi.FastAPI()\n"}, "uvicorn main:api --host 0.0.0.0 --port $PORT"),
    ({"pkg/__init__.py": "def create_app():\n    pass\n"}, "gunicorn 'pkg:create_app()'"),
    ({"tests/app.py": "app = Flask(__name__)\n"}, None),
    ({"app.py": "print(1)\n"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), STARTS)
def test_a_start_command_is_guessed(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    assert python_start(project(tmp_path / "app", files).app) == expected


NODES: list[tuple[dict[str, str], str]] = [
    ({"package.json": "{}"}, "22.20.0"),
    ({"package.json": '{"engines": {"node": "20.x"}}'}, "20.18.0"),
    ({"package.json": '{"engines": {"node": ">=18"}}'}, "24.19.0"),
    ({"package.json": "{}", ".nvmrc": "lts/jod\n"}, "22.20.0"),
    ({"package.json": "{}", ".nvmrc": "v20.11.1\n"}, "20.18.0"),
    ({"package.json": '{"engines": {"node": "24.x"}}', ".nvmrc": "20"}, "24.19.0"),
]


@pytest.mark.parametrize(("files", "expected"), NODES)
def test_the_node_that_the_app_asks_for(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    seen = project(tmp_path / "app", files)
    assert manifest.choose_node(seen, manifest.read(seen)).version == expected


MANAGERS: list[tuple[dict[str, str], tuple[str, str | None, int]]] = [
    ({"package.json": "{}"}, ("npm", None, 10)),
    ({"package.json": "{}", "package-lock.json": ""}, ("npm", "package-lock.json", 10)),
    ({"package.json": "{}", "yarn.lock": "# yarn lockfile v1\n"}, ("yarn", "yarn.lock", 1)),
    ({"package.json": "{}", "yarn.lock": "__metadata:\n  version: 8\n"}, ("yarn", "yarn.lock", 4)),
    ({"package.json": "{}", "pnpm-lock.yaml": ""}, ("pnpm", "pnpm-lock.yaml", 10)),
    ({"package.json": '{"packageManager": "pnpm@9.1.0"}', "pnpm-lock.yaml": ""}, ("pnpm", "pnpm-lock.yaml", 9)),
    ({"package.json": '{"packageManager": "yarn@4.1.0"}'}, ("yarn", None, 4)),
]


@pytest.mark.parametrize(("files", "expected"), MANAGERS)
def test_the_package_manager_follows_the_lock_file(
    tmp_path: Path, files: dict[str, str], expected: tuple[str, str | None, int]
) -> None:
    seen = project(tmp_path / "app", files)
    found = manifest.choose_manager(seen, manifest.read(seen))
    assert (found.kind, found.lock, found.major) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"package.json": '{"scripts": {"start": "x"}}', "server.js": ""}, "npm start"),
        ({"package.json": "{}", "server.js": ""}, "node server.js"),
        ({"package.json": '{"main": "lib/app.js"}', "lib/app.js": ""}, "node lib/app.js"),
        ({"package.json": "{}"}, None),
    ],
)
def test_how_a_node_app_starts(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    seen = project(tmp_path / "app", files)
    assert node_start(seen.app, manifest.read(seen)) == expected


NPM_TAILS = [
    ("npm error code E404\nnpm error 404  'zz@1.0.0' is not in this registry.", "zz@1.0.0"),
    ("npm error code ETARGET\nnpm error notarget No matching version found for ms@99.0.0.", "ms@99.0.0"),
    (
        "npm error `npm ci` can only install packages when your package.json and package-lock.json are in sync.",
        "lock file",
    ),
    ("npm error code 1\nnpm error path /home/vcap/app/node_modules/sharp\nnpm error command failed", "'sharp'"),
    ("npm error code ENOTFOUND\nnpm error network request to https://x.invalid failed", "cannot reach a host"),
]


@pytest.mark.parametrize(("tail", "expected"), NPM_TAILS)
def test_what_npm_says_becomes_one_sentence(tail: str, expected: str) -> None:
    assert expected in explain_npm(tail.splitlines())[0]


UV_TAILS = [
    (
        "  \u00d7 No solution found when resolving:\n  ╰─▶ Because zz was not found in the package registry",
        "'zz'",
    ),
    (
        "  \u00d7 Failed to build `uwsgi==2.0.30`\n  ├─▶ The build backend returned an error\n  gcc: not found",
        "uwsgi==2.0.30",
    ),
    ("error: Failed to fetch: `https://h.example/simple/a/`\n  Caused by: dns error", "https://h.example/simple/a/"),
    ("error: Hash mismatch for `a==1.0`", "'a==1.0'"),
]


@pytest.mark.parametrize(("tail", "expected"), UV_TAILS)
def test_what_uv_says_becomes_one_sentence(tail: str, expected: str) -> None:
    assert expected in explain_uv(tail.splitlines())[0]


def test_the_operators_catalogue_adds_and_replaces() -> None:
    found = load_catalogue(
        [{"name": "node", "version": "26.0.0", "kind": "pypi", "package": "x", "layout": "node-wheel"}]
    )
    assert found.versions("node")[-1] == "26.0.0"
    replaced = load_catalogue(
        [{"name": "uv", "version": "0.13.9", "kind": "pypi", "package": "other", "layout": "tree"}]
    )
    tool = replaced.get("uv", "0.13.9")
    assert tool is not None
    assert tool.package == "other"
    with pytest.raises(CatalogueError, match="kind"):
        load_catalogue([{"name": "x", "version": "1", "kind": "telepathy"}])
