"""The documents that say what is proven, and by which test, say what is so."""

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import tests.copies.test_planted
import tests.gossip.test_planted
import tests.scheduler.test_planted
import tests.simulation.test_planted
import tests.state.replication.test_planted

ROOT = Path(__file__).parent.parent
BUGS = (ROOT / "docs" / "bugs-found.md").read_text()
CUT_OFF = (ROOT / "docs" / "cut-off-nodes.md").read_text()
SIMULATED = "tests/simulation/test_planted.py::test_whole_platforms_show_a_planted_bug"
CUT_OFF_TESTS = "tests/scheduler/test_cut_off.py"
ETCD = 4
NAME = re.compile(r"`((?:[\w/]*test_\w+\.py)?(?:::)?(?:test_\w+)?)`")


@cache
def known_tests(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_"))


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables, without their heads."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith(("| situation", "| found by", "| what |")):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def missing(cell: str, default: str) -> list[str]:
    """Tests that a cell names and that do not exist; a cell that names none is missing one."""
    found = [name for name in NAME.findall(cell) if name]
    lost = [] if found else [f"no test: {cell}"]
    for name in found:
        path, _, test = name.rpartition("::") if "::" in name or not name.endswith(".py") else (name, "", "")
        if path and "/" not in path:
            path = f"tests/scheduler/{path}"
        path = path or default
        if not (ROOT / path).is_file() or (test and test not in known_tests(path)):
            lost.append(name)
    return lost


def test_every_row_about_nodes_that_are_cut_off_names_a_test_that_exists() -> None:
    found = list(rows(CUT_OFF))
    assert len(found) > 20
    assert [lost for row in found for lost in missing(row[-1], CUT_OFF_TESTS)] == []


def test_every_bug_that_was_found_names_the_test_that_keeps_it_away() -> None:
    found = list(rows(BUGS.partition("# Bugs that were planted")[0]))
    assert len(found) >= 9
    assert [lost for row in found for lost in missing(row[-1], "")] == []


def test_a_test_that_does_not_exist_would_be_noticed() -> None:
    assert missing("`test_of_nothing`", CUT_OFF_TESTS) == ["test_of_nothing"]
    assert missing("see the simulation", CUT_OFF_TESTS) == ["no test: see the simulation"]


def named(plant: Any, test: Any) -> tuple[str, str]:
    test = test.func if isinstance(test, partial) else test
    path = Path(str(inspect.getsourcefile(test))).relative_to(ROOT)
    return plant.__name__.replace("_", " "), f"`{path}::{test.__name__}`"


def test_the_list_of_planted_bugs_is_what_is_planted() -> None:
    modules: list[ModuleType] = [
        tests.copies.test_planted,
        tests.gossip.test_planted,
        tests.scheduler.test_planted,
        tests.state.replication.test_planted,
    ]
    planted = {named(plant, test) for module in modules for plant, test in module.PLANTED}
    planted |= {(bug.__name__.replace("_", " "), f"`{SIMULATED}`") for bug, *_ in tests.simulation.test_planted.PLANTED}
    listed = list(rows(BUGS.partition("# Bugs that were planted")[2]))
    assert {(row[1], row[2]) for row in listed[ETCD:]} == planted
    assert all("log in etcd" in row[0] for row in listed[:ETCD])
    assert [lost for row in listed for lost in missing(row[2], "")] == []
    assert len(listed) >= 20
