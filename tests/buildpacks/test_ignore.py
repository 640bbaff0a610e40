"""`.cfignore` against the rules of gitignore; pathspec is the second opinion."""

from pathlib import Path

import pathspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.buildpacks.ignore import Ignore, apply_cfignore

TABLE = [
    ("*.log", "a.log", True),
    ("*.log", "deep/a.log", True),
    ("/a.log", "deep/a.log", False),
    ("build/", "build", False),
    ("doc/*.txt", "doc/a.txt", True),
    ("doc/*.txt", "doc/x/a.txt", False),
    ("doc/**/a.txt", "doc/x/y/a.txt", True),
    ("doc/**/a.txt", "doc/a.txt", True),
    ("**/a", "x/y/a", True),
    ("a/**", "a/b", True),
    ("a/**", "a", False),
    ("[ab].txt", "a.txt", True),
    ("[!ab].txt", "a.txt", False),
    ("a?c", "abc", True),
    ("a?c", "a/c", False),
    ("\\#x", "#x", True),
    ("# comment", "# comment", False),
    ("", "x", False),
    ("x ", "x", True),
]


@pytest.mark.parametrize(("pattern", "path", "expected"), TABLE)
def test_patterns_match_as_git_says(pattern: str, path: str, expected: bool) -> None:
    assert Ignore([pattern]).matches(path, is_directory=False) is expected


def test_the_last_matching_line_wins() -> None:
    ignore = Ignore(["*.txt", "!keep.txt"])
    assert ignore.matches("a.txt", is_directory=False)
    assert not ignore.matches("keep.txt", is_directory=False)


names = st.text("ab.*", min_size=1, max_size=4).filter(lambda name: name.strip(".") and "**" not in name)


@given(st.lists(names, min_size=1, max_size=3), st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3))
def test_simple_patterns_agree_with_pathspec(pattern: list[str], path: list[str]) -> None:
    line, target = "/".join(pattern), "/".join(path)
    ours = any(
        Ignore([line]).matches("/".join(path[: n + 1]), is_directory=n + 1 < len(path)) for n in range(len(path))
    )
    assert ours == pathspec.GitIgnoreSpec.from_lines([line]).match_file(target)


def test_what_is_ignored_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    for name in (
        ".cfignore",
        ".git/config",
        "app.py",
        "node_modules/x/y.js",
        "manifest.yml",
        "sub/manifest.yml",
        "a.log",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("node_modules/\n*.log\n" if name == ".cfignore" else "")
    apply_cfignore(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["app.py", "sub/manifest.yml"]
