"""The part of YAML that Procfile, Staticfile, launch.yml, config.yml and release output use.

The stack's Python has no YAML library. Block maps and lists, flow maps and lists on one line, quoted and plain scalars,
literal and folded blocks, comments and the first of several documents are read; anchors and tags are refused.
"""

import re
from typing import Any

_PLAIN_KEY = re.compile(
    r"""^(?P<key>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[\]{}#&*!|>'"%@`,?-][^#]*?|[?-][^\s#][^#]*?)\s*:(?:\s+(?P<rest>.*))?$"""
)
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0", "r": "\r", "e": "\x1b", " ": " "}


class YamlError(ValueError):
    """The text is not YAML that this reader knows; says the line."""


def load(text: str) -> Any:
    """Parse one document: None, a scalar, a list or a dict. Raises YamlError."""
    lines: list[tuple[int, str, int]] = []
    raw = text.expandtabs(8).splitlines() if "\t" not in text else text.splitlines()
    started = False
    for number, line in enumerate(raw, 1):
        if line.startswith("---") and line[3:4] in ("", " "):
            if started:
                break
            line = "   " + line[3:] if line[3:].strip() else ""
        elif line.rstrip() == "...":
            break
        started = started or bool(line.strip())
        indent = len(line) - len(line.lstrip(" "))
        lines.append((indent, line.rstrip(), number))
    reader = _Reader(lines)
    reader.skip()
    if reader.done:
        return None
    value = reader.block(reader.indent)
    reader.skip()
    if rest := reader.rest():
        raise YamlError(f"line {reader.number}: unexpected {rest[:60]!r}")
    return value


class _Reader:
    def __init__(self, lines: list[tuple[int, str, int]]) -> None:
        self._lines = lines
        self._at = 0
        self._depth = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self._lines)

    @property
    def indent(self) -> int:
        return self._lines[self._at][0]

    @property
    def text(self) -> str:
        return self._lines[self._at][1].strip()

    @property
    def number(self) -> int:
        return self._lines[min(self._at, len(self._lines) - 1)][2]

    def rest(self) -> str:
        """The next line; empty when all was read."""
        return "" if self.done else self.text

    def skip(self) -> None:
        while not self.done and (not self.text or self.text.startswith("#")):
            self._at += 1

    def block(self, indent: int) -> Any:
        self._depth += 1
        if self._depth > 40:
            raise YamlError(f"line {self.number}: nested too deep")
        try:
            if "\t" in self._lines[self._at][1][: indent + 1]:
                raise YamlError(f"line {self.number}: a tab is not allowed as indentation")
            if self.text == "-" or self.text.startswith("- "):
                return self._list(indent)
            if _PLAIN_KEY.match(_uncommented(self.text)):
                return self._map(indent)
            return self._scalar_lines(indent)
        finally:
            self._depth -= 1

    def _scalar_lines(self, indent: int) -> Any:
        parts = []
        while not self.done and self.indent >= indent and self.text:
            parts.append(self._continuation())
            self._at += 1
        return scalar(" ".join(parts), self.number)

    def _list(self, indent: int) -> list[Any]:
        items: list[Any] = []
        while True:
            self.skip()
            if self.done or self.indent != indent or not (self.text == "-" or self.text.startswith("- ")):
                return items
            inner = self.text[1:].lstrip()
            if not inner or inner.startswith("#"):
                self._at += 1
                self.skip()
                items.append(self.block(self.indent) if not self.done and self.indent > indent else None)
                continue
            # The item's own text becomes a line of its own, indented as far as it stands.
            column = indent + len(self._lines[self._at][1].strip()) - len(inner)
            if _PLAIN_KEY.match(_uncommented(inner)) or inner.startswith("- "):
                self._lines[self._at] = (column, " " * column + inner, self.number)
                items.append(self.block(column))
            else:
                items.append(self._value(inner, indent))

    def _map(self, indent: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while True:
            self.skip()
            if self.done or self.indent != indent:
                if not self.done and self.indent > indent:
                    raise YamlError(f"line {self.number}: wrong indentation")
                return found
            match = _PLAIN_KEY.match(_uncommented(self.text))
            if match is None:
                raise YamlError(f"line {self.number}: expected 'name: value', found {self.text[:60]!r}")
            key = str(scalar(match["key"], self.number)) if match["key"][0] in "\"'" else match["key"]
            if key in found:
                raise YamlError(f"line {self.number}: {key!r} is there twice")
            found[key] = self._value(match["rest"] or "", indent)

    def _value(self, rest: str, indent: int) -> Any:
        """The value that starts with `rest` on this line; leaves the reader after it."""
        number = self.number
        self._at += 1
        if rest[:1] in ("|", ">"):
            return self._literal(rest, indent)
        if rest:
            while not self.done and self.text and self.indent > indent and _is_open(rest):
                rest += " " + (_uncommented(self.text) if rest[0] in "[{\"'" else self._continuation())
                self._at += 1
            if rest[0] in "&*!":
                raise YamlError(f"line {number}: anchors and tags are not supported")
            return scalar(rest, number)
        self.skip()
        if self.done:
            return None
        is_item = self.text == "-" or self.text.startswith("- ")
        if self.indent > indent or (is_item and self.indent == indent):
            return self.block(self.indent)
        return None

    def _continuation(self) -> str:
        """A further line of a plain value; one that looks like `name: value` is rather wrongly indented."""
        text = _uncommented(self.text)
        if _PLAIN_KEY.match(text):
            raise YamlError(f"line {self.number}: wrong indentation, or a missing colon above")
        return text

    def _literal(self, header: str, indent: int) -> str:
        rows: list[str] = []
        width: int | None = None
        while not self.done:
            own_indent, line, _ = self._lines[self._at]
            if line.strip() and own_indent <= indent:
                break
            if line.strip() and width is None:
                width = own_indent
            rows.append(line[width or 0 :])
            self._at += 1
        while rows and not rows[-1]:
            rows.pop()
        body = "\n".join(rows) if header[0] == "|" else " ".join(row for row in rows if row)
        return body if "-" in header or not body else body + "\n"


def _is_open(text: str) -> bool:
    if text[0] in "[{":
        return text.count(text[0]) > text.count({"[": "]", "{": "}"}[text[0]])
    return (text[0] in "\"'" and (len(text) == 1 or not text.endswith(text[0]))) or text[0] not in "\"'[{|>"


def _uncommented(text: str) -> str:
    quote = ""
    for index, char in enumerate(text):
        if quote:
            if char == quote and not (quote == '"' and text[index - 1] == "\\"):
                quote = ""
        elif char in "\"'" and (index == 0 or text[index - 1] in " :[{,-"):
            quote = char
        elif char == "#" and (index == 0 or text[index - 1] == " "):
            return text[:index].rstrip()
    return text


def scalar(text: str, number: int = 0) -> Any:
    """One flow value: quoted, list, map, number, boolean, null or plain text."""
    text = text.strip()
    value, rest = _flow(text, number, 0)
    if rest.strip():
        raise YamlError(f"line {number}: unexpected {rest.strip()[:60]!r}")
    return value


def _flow(text: str, number: int, depth: int) -> tuple[Any, str]:
    if depth > 20:
        raise YamlError(f"line {number}: nested too deep")
    if text.startswith('"'):
        match = re.match(r'"((?:[^"\\]|\\.)*)"', text, re.DOTALL)
        if match is None:
            raise YamlError(f"line {number}: a quote is not closed")
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), match[1]), text[match.end() :]
    if text.startswith("'"):
        match = re.match(r"'((?:[^']|'')*)'", text, re.DOTALL)
        if match is None:
            raise YamlError(f"line {number}: a quote is not closed")
        return match[1].replace("''", "'"), text[match.end() :]
    if text.startswith(("[", "{")):
        return _collection(text, number, depth)
    if depth:
        match = re.match(r"[^,\[\]{}]*?(?=\s*(?:,|\]|\}|:\s|$))", text)
        plain, rest = (match[0], text[match.end() :]) if match else (text, "")
        return _plain(plain.strip()), rest
    return _plain(text), ""


def _collection(text: str, number: int, depth: int) -> tuple[Any, str]:
    closing = {"[": "]", "{": "}"}[text[0]]
    items: list[Any] = []
    pairs: dict[str, Any] = {}
    rest = text[1:].lstrip()
    while True:
        if rest.startswith(closing):
            return (items if closing == "]" else pairs), rest[1:]
        if not rest:
            raise YamlError(f"line {number}: {text[0]!r} is not closed")
        value, rest = _flow(rest, number, depth + 1)
        rest = rest.lstrip()
        if closing == "}":
            if not rest.startswith(":"):
                raise YamlError(f"line {number}: expected 'name: value' between braces")
            pairs[str(value)], rest = _flow(rest[1:].lstrip(), number, depth + 1)
            rest = rest.lstrip()
        else:
            items.append(value)
        if rest.startswith(","):
            rest = rest[1:].lstrip()
        elif not rest.startswith(closing):
            raise YamlError(f"line {number}: expected ',' or {closing!r}")


def _plain(text: str) -> Any:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", text):
        return int(text)
    if re.fullmatch(r"[-+]?[0-9]+\.[0-9]*", text):
        return float(text)
    return text
