"""What the documents say exists, and the rules that they state are kept."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from paasd.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *(ROOT / "docs" / name for name in ("api.md", "security.md"))]
SOURCES = sorted((ROOT / "paasd").rglob("*.py"))
FILE_LINES_LIMIT = 400
FUNCTION_LINES_LIMIT = 60
SQL = re.compile(r"\b(SELECT\s+[\w*(]|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s)")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")
ZONES = ("aws/", "gce/", "azure/", "openstack/", "dc1/")
PREFIXES = ("sudo", "-E", "env")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def code_lines(document: Path) -> Iterator[str]:
    """Indented and fenced lines, continued ones joined; and commands that stand in backticks."""
    text = document.read_text().replace("\\\n", " ")
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
    yield from re.findall(r"`((?:paasd|contrib/\w)[^`]*)`", text)


def commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a shell line, without sudo and assignments."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return
    command: list[str] = []
    for word in [*words, "|"]:
        if word in ("|", "||", "&&", ";"):
            while command and (command[0] in PREFIXES or "=" in command[0]):
                command.pop(0)
            if command:
                yield command
            command = []
        else:
            command.append(word)


def all_commands() -> list[tuple[str, list[str]]]:
    """Where each command stands, and its words."""
    return [
        (document.name, words) for document in DOCUMENTS for line in code_lines(document) for words in commands(line)
    ]


def option_problem(command: click.Command, word: str) -> str | None:
    known = {option for parameter in command.params for option in parameter.opts}
    name = word.partition("=")[0]
    return None if name in known or name in ("-h", "--help", "--version") else f"{command.name} has no option {name}"


def command_problem(words: list[str]) -> str | None:
    """What is wrong with a `paasd ...` of a document; names of things in capitals are not looked at."""
    command: click.Command = main
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            problem = option_problem(command, word)
            if problem is not None:
                return problem
            if command is main and word not in ("-h", "--help", "--version"):
                next(rest, None)
        elif isinstance(command, click.Group) and not word.isupper():
            found = command.commands.get(word)
            if found is None:
                return f"there is no command {word!r}"
            command = found
    return None


def test_every_paasd_command_of_the_documents_exists() -> None:
    found = [(where, words) for where, words in all_commands() if Path(words[0]).name == "paasd" and len(words) > 1]
    assert len(found) > 10
    assert {where for where, _ in found} >= {"README.md", "HACKING.md"}
    problems = [f"{where}: {' '.join(words)}: {why}" for where, words in found if (why := command_problem(words[1:]))]
    assert problems == []


def test_every_paasd_command_that_the_code_recommends_exists() -> None:
    problems, count = [], 0
    for source in SOURCES:
        for text in re.findall(r"`paasd ([a-z][^`\n]*)`", source.read_text()):
            count += 1
            why = command_problem(re.sub(r"\{[^}]*\}", "NAME", text).split())
            problems += [f"{relative(source)}: paasd {text}: {why}"] if why else []
    assert count > 10
    assert problems == []


@pytest.mark.parametrize("line", ["paasd pushh x", "paasd push --bogus x", "paasd --bogus apps", "paasd stack biuld x"])
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    assert command_problem(line.split()[1:]) is not None


def test_every_script_of_the_documents_exists_and_can_be_run() -> None:
    found = {(where, words[0]) for where, words in all_commands() if words[0].startswith("contrib/")}
    assert ("README.md", "contrib/demo") in found
    for where, script in found:
        path = ROOT / script
        assert path.is_file(), f"{where} names {script}"
        assert path.stat().st_mode & 0o111, f"{script} cannot be run"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_and_link_of_a_document_exists(document: Path) -> None:
    text = document.read_text()
    names = re.findall(r"`([\w./-]+/[\w.-]*|[\w-]+\.(?:py|sh|toml|md))`", text) + re.findall(r"\]\(([^)#:]+)\)", text)
    # The documents leave out paasd/ where the folder is the subject; patterns, URLs and others' files are not ours.
    theirs = ("/", ".", "app/", "DATA/", *ZONES)
    ours = [name for name in names if not name.startswith(theirs)]
    missing = [
        name for name in ours if not any((base / name).exists() for base in (ROOT, ROOT / "paasd", document.parent))
    ]
    assert missing == []


def test_the_documented_configuration_is_the_one_of_the_code() -> None:
    from paasd.cli.configuration import default_toml

    assert (ROOT / "docs" / "config.toml").read_text() == default_toml(), "paasd config > docs/config.toml"


def test_every_example_is_pushed_by_a_test_and_named_in_its_manifest() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__))
    folders = [path.parent for path in (ROOT / "examples").rglob("manifest.yml")]
    assert len(folders) >= 5
    named = {folder.relative_to(ROOT / "examples").parts[0] for folder in folders}
    for folder in (ROOT / "examples").iterdir():
        # What has no manifest is a script, and no app.
        assert not folder.is_dir() or folder.name in named or any(folder.glob("*.sh")), folder.name
        assert not folder.is_dir() or f'"{folder.name}"' in tests, f"no test uses examples/{folder.name}"
    for folder in folders:
        assert f'"{folder.name}"' in tests, f"no test pushes examples/{folder.name}"
        assert f"- name: {folder.name}\n" in (folder / "manifest.yml").read_text()


def test_examples_are_called_in_the_documents_as_they_are() -> None:
    named = {one for document in DOCUMENTS for one in re.findall(r"\bexamples/([\w-]+)", document.read_text())}
    assert named, "the pattern finds nothing any more"
    assert [name for name in sorted(named) if not (ROOT / "examples" / name).exists()] == []


def test_sql_stands_in_state_alone() -> None:
    holders = {relative(source) for source in SOURCES if SQL.search(source.read_text())}
    assert holders, "the pattern finds nothing any more"
    assert [name for name in sorted(holders) if not name.startswith("paasd/state/")] == []


def test_files_and_functions_are_short() -> None:
    long = []
    for source in SOURCES:
        text = source.read_text()
        if (lines := text.count("\n")) > FILE_LINES_LIMIT:
            long.append(f"{relative(source)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_LIMIT:
                    long.append(f"{relative(source)}: {node.name} has {lines} lines")
    assert long == []


def test_nothing_is_marked_as_unfinished() -> None:
    places = [*SOURCES, *DOCUMENTS, *(path for path in (ROOT / "contrib").rglob("*") if path.is_file())]
    places += [path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]
    own = Path(__file__)
    assert [
        relative(path) for path in places if path != own and UNFINISHED.search(path.read_text(errors="replace"))
    ] == []


def test_each_of_the_fourteen_principles_is_shown_by_something_or_said_to_be_lacking() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = [line.strip("|").split("|") for line in text.splitlines() if re.match(r"\| \d+ ", line)]
    assert [int(cells[0].split()[0]) for cells in rows] == list(range(1, 15))
    for name, says, shown in (map(str.strip, cells) for cells in rows):
        assert says, name
        assert re.search(r"`paasd |\]\(|`(tests|docs)/|HACKING", shown) or shown.lower().startswith("not yet"), name
