"""`.cfignore`: gitignore syntax, last matching line wins; what `cf push` never uploads is always left out."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

ALWAYS = (".cfignore", "/manifest.yml", ".gitignore", ".git", ".hg", ".svn", "_darcs", ".DS_Store")


class Ignore:
    """A compiled list of patterns. Paths are relative to the app root, with `/` between names."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [rule for line in lines if (rule := _compile(line))]

    @classmethod
    def of_directory(cls, root: Path) -> "Ignore":
        """The fixed list and what the folder's own .cfignore adds to it."""
        try:
            lines = (root / ".cfignore").read_text("utf-8", "replace").splitlines()
        except (OSError, ValueError):
            lines = []
        return cls([*ALWAYS, *lines])

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Whether this very path is left out; a parent that is left out takes its children along."""
        verdict = False
        for pattern, negated, directories_only in self._rules:
            if (is_directory or not directories_only) and pattern.fullmatch(path):
                verdict = not negated
        return verdict


def _compile(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    text = line.rstrip("\r\n")
    while text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1]
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text
    directories_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    anchored = "/" in text
    body = _translate(text.lstrip("/"))
    try:
        return re.compile(body if anchored else f"(?:.*/)?{body}", re.DOTALL), negated, directories_only
    except re.error:
        return None


def _translate(glob: str) -> str:
    out, index = "", 0
    while index < len(glob):
        char = glob[index]
        if glob.startswith("**/", index) and (index == 0 or glob[index - 1] == "/"):
            out, index = out + "(?:.*/)?", index + 3
            continue
        if glob.startswith("**", index) and index + 2 == len(glob) and (index == 0 or glob[index - 1] == "/"):
            out, index = out + ".+", index + 2
            continue
        if char == "[" and (end := glob.find("]", index + 2)) > 0:
            inner = glob[index + 1 : end].replace("\\", "\\\\")
            inner = "^" + inner[1:] if inner.startswith(("!", "^")) else inner
            out, index = out + f"(?!/)[{inner}]", end + 1
            continue
        if char == "\\" and index + 1 < len(glob):
            out, index = out + re.escape(glob[index + 1]), index + 2
            continue
        out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        index += 1
    return out


def apply_cfignore(root: Path) -> int:
    """Delete below `root` what the app's .cfignore and the fixed list leave out; how many that were."""
    ignore = Ignore.of_directory(root)
    deleted = 0
    for directory, folders, files in os.walk(root):
        base = Path(directory)
        for name in [*files, *folders]:
            path = base / name
            is_directory = path.is_dir() and not path.is_symlink()
            if not ignore.matches(path.relative_to(root).as_posix(), is_directory=is_directory):
                continue
            deleted += 1
            if is_directory:
                folders.remove(name)
                shutil.rmtree(path)
            else:
                path.unlink()
    return deleted
