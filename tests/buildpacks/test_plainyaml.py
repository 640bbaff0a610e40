"""The small YAML reader agrees with a full one on what buildpacks write, and refuses what it does not know."""

from typing import Any

import pytest
import yaml

from paasd.buildpacks.plainyaml import YamlError, load

DOCUMENTS = [
    "web: gunicorn app:app\nworker: python -m worker # at night\n",
    "---\ndefault_process_types:\n  web: node server.js\nconfig_vars: {}\naddons: []\n",
    "--- {}\n",
    "processes:\n- type: web\n  command: ./run\n  limits:\n    memory: 1G\n- type: side\n  command: x\n  platforms:\n"
    "    cloudfoundry:\n      sidecar_for: [web, 'api']\n",
    "root: public\nstatus_codes:\n  404: /404.html\n  5xx: /50x.html\n",
    "a:\n  - b\n  - c: 1\n    d: true\n  -\n    - x\n",
    "text: |\n  one\n   two\n\n  three\nnext: 1\n",
    "text: >-\n  one\n  two\n",
    "quoted: \"a\\tb\\n\\\"c\\\"\"\nsingle: 'it''s'\n",
    "empty:\nnull_value: ~\nnumber: -12\nratio: 1.5\nflag: false\nversion: 1.2.3\n",
    "map: {a: 1, b: [x, 'y, z'], c: {d: e}}\n",
    "long: first\n  second\n  third\n",
    "",
    "# nothing\n",
    "just text\n",
    "url: http://example.org:80/x#y\n",
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_documents_read_as_a_full_reader_reads_them(text: str) -> None:
    def plain(value: Any) -> Any:
        """Keys as text: a Procfile's are names, whatever they look like."""
        if isinstance(value, dict):
            return {str(key): plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    assert load(text) == plain(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "a: &x 1\n",
        "a: [1, 2\n",
        'a: "open\n',
        "a: 1\n   b: 2\n",
        "web\nworker: x\n",
        "a: !!python/x y\n",
    ],
)
def test_what_is_broken_or_beyond_it_is_refused(text: str) -> None:
    with pytest.raises(YamlError):
        load(text)


def test_nesting_is_bounded() -> None:
    with pytest.raises(YamlError):
        load("".join(" " * depth + "a:\n" for depth in range(200)))
    with pytest.raises(YamlError):
        load("a: " + "[" * 200 + "]" * 200)
