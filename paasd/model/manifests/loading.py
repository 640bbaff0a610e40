"""YAML in, plain values out: no tags, no bombs, no key twice; numbers remember how they were written."""

import re
from typing import Any

import yaml

from paasd.model.manifests.document import ManifestError

NODE_LIMIT = 20_000
DEPTH_LIMIT = 32
SURROGATE = re.compile(r"[\ud800-\udfff]")


class WrittenInt(int):
    """An integer with the text that it was written as, such as `010` or `12:30`."""

    text: str


class WrittenFloat(float):
    """A number with the text that it was written as, such as `1.10`."""

    text: str


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps the text of numbers and reads times as text."""


def _written_int(loader: _Loader, node: yaml.ScalarNode) -> WrittenInt:
    value = WrittenInt(loader.construct_yaml_int(node))
    value.text = node.value
    return value


def _written_float(loader: _Loader, node: yaml.ScalarNode) -> WrittenFloat:
    value = WrittenFloat(loader.construct_yaml_float(node))
    value.text = node.value
    return value


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:int", _written_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _written_float)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def load(text: str | bytes, limit_bytes: int) -> Any:
    """The document. Raises ManifestError with line and column where YAML can tell."""
    size = len(text if isinstance(text, bytes) else text.encode(errors="replace"))
    if size > limit_bytes:
        raise ManifestError([f"Manifest size is too large: {size} bytes, the limit is {limit_bytes} bytes"])
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        loader = _Loader(decoded)
        try:
            node = loader.get_single_node()
            _check(node)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        raise ManifestError(["Cannot parse manifest: it is not UTF-8 text"]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise ManifestError([f"Cannot parse manifest{place}: {error.problem}"]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError([f"Cannot parse manifest: {str(error)[:200]}"]) from error


def _check(root: yaml.Node | None) -> None:
    """Count what aliases expand to, before anything is built, and refuse keys given twice."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size_of(node: yaml.Node, depth: int) -> int:
        if depth > DEPTH_LIMIT:
            raise ManifestError([f"Cannot parse manifest: it is nested deeper than {DEPTH_LIMIT} levels"])
        if id(node) in open_nodes:
            raise ManifestError(["Cannot parse manifest: an alias refers to itself"])
        if id(node) in sizes:
            return sizes[id(node)]
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.ScalarNode):
            _check_text(node)
        if isinstance(node, yaml.MappingNode):
            total += sum(size_of(key, depth + 1) + size_of(value, depth + 1) for key, value in node.value)
            _check_keys(node)
        elif isinstance(node, yaml.SequenceNode):
            total += sum(size_of(item, depth + 1) for item in node.value)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        if total > NODE_LIMIT:
            raise ManifestError([f"Cannot parse manifest: its anchors and aliases expand to over {NODE_LIMIT} values"])
        return total

    if root is not None:
        size_of(root, 0)


def _check_text(node: yaml.ScalarNode) -> None:
    """An escape can write what no program, file or answer can hold: NUL, and half of a pair of UTF-16."""
    wrong = "NUL" if "\0" in node.value else "half of a surrogate pair" if SURROGATE.search(node.value) else ""
    if wrong:
        mark = node.start_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}"
        raise ManifestError([f"Cannot parse manifest: the text at {place} has {wrong} in it"])


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in seen:
            raise ManifestError(
                [f"Cannot parse manifest: key '{key.value}' is given twice, at line {key.start_mark.line + 1}"]
            )
        seen.add(key.value)
