"""What manifests may say, and how each mistake is told."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from paasd.model.manifests import AppManifest, ManifestError, parse_manifest
from paasd.model.manifests.document import ProcessManifest
from paasd.model.manifests.sizes import format_bytes, format_mb, parse_bytes


def app(body: str) -> AppManifest:
    """The one application whose keys are given in flow style."""
    return parse_manifest(f"applications: [{{name: dora, {body}}}]").applications[0]


def web(body: str) -> ProcessManifest:
    return app(body).processes[0]


def problem(body: str) -> str:
    with pytest.raises(ManifestError) as caught:
        app(body)
    return "\n".join(caught.value.details)


HALF = r'"\ud800"'


@pytest.mark.parametrize(
    "body",
    [
        f"name: {HALF}",
        f"name: dora, env: {{A: {HALF}}}",
        f"name: dora, env: {{{HALF}: a}}",
        f"name: dora, env: {{{HALF}: a, {HALF}: b}}",
        f"name: dora, {HALF}: unknown",
        f"name: dora, command: {HALF}",
        f"name: dora, buildpacks: [{HALF}]",
        f"name: dora, stack: {HALF}",
        f"name: dora, metadata: {{annotations: {{a: {HALF}}}}}",
        f"name: dora, routes: [{{route: {HALF}}}]",
        f"name: dora, processes: [{{type: {HALF}}}]",
        f"name: dora, sidecars: [{{name: {HALF}}}]",
    ],
)
def test_half_a_character_is_none_wherever_it_stands(body: str) -> None:
    with pytest.raises(ManifestError, match=r"line 1, column .* half of a surrogate pair") as caught:
        parse_manifest(f"applications: [{{{body}}}]")
    assert all(detail.encode() for detail in caught.value.details)


@given(text=st.text(st.characters(), max_size=20), where=st.sampled_from(("name", "command", "stack", "env")))
@settings(max_examples=60)
def test_whatever_characters_a_manifest_has_its_texts_can_be_written(text: str, where: str) -> None:
    escaped = "".join(f"\\U{ord(char):08x}" for char in text)
    value = f'{{A: "{escaped}"}}' if where == "env" else f'"{escaped}"'
    rest = "" if where == "name" else "name: dora, "
    try:
        found = parse_manifest(f"applications: [{{{rest}{where}: {value}}}]")
    except ManifestError as error:
        assert all(detail.encode() for detail in error.details)
    else:
        assert msgspec.json.encode(found)


@pytest.mark.parametrize("type_", [r"web\nX", r"w\u202eb", "a/b", "../x", "-x", "a b", "x" * 256, r"\e[2J"])
def test_a_process_type_is_a_word_that_paths_and_lines_can_hold(type_: str) -> None:
    for body in (
        f'processes: [{{type: "{type_}"}}]',
        f'sidecars: [{{name: s, command: c, process_types: ["{type_}"]}}]',
    ):
        found = problem(body)
        assert "must be 1 to 255 letters, digits" in found
        assert found.isprintable()


@pytest.mark.parametrize(
    ("text", "megabytes"),
    [
        ("64M", 64),
        ("64MB", 64),
        ("64mb", 64),
        ("1G", 1024),
        ("1GB", 1024),
        ("2T", 2 * 1024 * 1024),
        ("1024K", 1),
        ("2097152B", 2),
        ("1.5G", 1536),
        ("1025K", 1),
        ('" 64 M "', 64),
    ],
)
def test_memory_takes_every_unit(text: str, megabytes: int) -> None:
    assert web(f"memory: {text}").memory_mb == megabytes


@pytest.mark.parametrize("text", ["64", "lots", "'64X'", "-1M", "M", "1,5G", "[1]", "true", "''"])
def test_memory_without_a_unit_is_refused(text: str) -> None:
    assert "For application 'dora': memory must use a supported unit" in problem(f"memory: {text}")


@pytest.mark.parametrize("text", ["0M", "1023K", "0G"])
def test_memory_below_one_megabyte_is_refused(text: str) -> None:
    assert "memory must be greater than or equal to 1M" in problem(f"memory: {text}")


@pytest.mark.parametrize("text", ["3000T", "999999999999999999T"])
def test_absurd_sizes_are_refused(text: str) -> None:
    assert "at most 2048T" in problem(f"memory: {text}")
    assert "at most 2048T" in problem(f"log-rate-limit-per-second: {text}")


@pytest.mark.parametrize("key", ["disk_quota", "disk-quota"])
def test_disk_has_two_spellings(key: str) -> None:
    assert web(f"{key}: 2G").disk_mb == 2048


@pytest.mark.parametrize(
    ("text", "rate"), [("16K", 16384), ("-1", -1), ("0", 0), ("'-1'", -1), ("100B", 100), ("1M", 1024**2)]
)
def test_the_log_rate_may_be_unlimited(text: str, rate: int) -> None:
    assert web(f"log-rate-limit-per-second: {text}").log_rate_limit_bytes == rate


@pytest.mark.parametrize("text", ["16", "-2", "fast", "1.5"])
def test_a_log_rate_without_a_unit_is_refused(text: str) -> None:
    assert "log-rate-limit-per-second must use a supported unit" in problem(f"log-rate-limit-per-second: {text}")


@pytest.mark.parametrize(("key", "text"), [("instances", "0"), ("instances", "3"), ("timeout", "180")])
def test_numbers_are_taken(key: str, text: str) -> None:
    process = web(f"{key}: {text}")
    assert (process.instances if key == "instances" else process.health.timeout_s) == int(text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("instances: -1", "instances must be greater than or equal to 0"),
        ("instances: two", "instances must be an integer"),
        ("instances: 1.5", "instances must be an integer"),
        ("instances: true", "instances must be an integer"),
        ("instances: 100000", "instances must be less than or equal to 1000"),
        ("timeout: 0", "timeout must be greater than or equal to 1"),
        ("timeout: soon", "timeout must be an integer"),
        ("health-check-type: magic", "health-check-type must be one of http, port, process, none"),
        ("health-check-type: http, health-check-http-endpoint: health", "must be a path that begins with '/'"),
        ("health-check-type: http, health-check-http-endpoint: '/a b'", "must be a path that begins with '/'"),
        ("health-check-type: port, health-check-http-endpoint: /x", 'it must be "http"'),
        ("health-check-invocation-timeout: 0", "health-check-invocation-timeout must be greater"),
        ("health-check-interval: x", "health-check-interval must be an integer"),
        ("readiness-health-check-type: magic", "readiness-health-check-type must be one of"),
        ("readiness-health-check-interval: 0", "readiness-health-check-interval must be greater"),
        ("buildpack: a, buildpacks: [b]", "buildpacks fields cannot be used together"),
        ("buildpacks: python", "buildpacks must be a list"),
        ("buildpacks: [1]", "buildpacks must be a list of strings"),
        ("stack: [x]", "stack must be a string"),
        ("command: [run]", "command must be a string"),
        (f"command: {'x' * 5000}", "command must be at most"),
        ("env: [a]", "env must be a mapping"),
        ("env: {PORT: 1}", "env cannot set 'PORT'"),
        ("env: {VCAP_SERVICES: x}", "env cannot set 'VCAP_SERVICES'"),
        ("env: {'A=B': x}", "env has the name 'A=B'"),
        ("metadata: {labels: {'-bad': x}}", "metadata is refused"),
        ("metadata: {labels: {cloudfoundry.org/x: y}}", "reserved"),
        ("metadata: {labels: {a: 'not ok!'}}", "metadata is refused"),
        ("features: {ssh: maybe}", "features must give true or false for 'ssh'"),
        ("features: {teleport: true}", "features has no feature 'teleport'"),
        ("processes: {web: 1}", "processes must be a list"),
        ("processes: [{memory: 1G}]", "processes must specify a type"),
        ("processes: [{type: web}, {type: web}]", 'processes may list process "web" only once'),
        ("processes: [{type: worker, memory: lots}]", 'process "worker": memory must use a supported unit'),
        ("sidecars: [{command: x}]", "sidecars must give a name"),
        ("sidecars: [{name: a, process_types: []}]", 'sidecar "a": process_types must have at least 1'),
        ("sidecars: [{name: a}, {name: a}]", 'sidecars may list sidecar "a" only once'),
        ("routes: [x.example.org]", "routes must be a list of mappings with the key 'route'"),
        ("routes: [{route: a.b, protocol: gopher}]", "route 'a.b': protocol must be one of http1, http2"),
        ("routes: [{route: a.b, options: {speed: 1}}]", "options has no option 'speed'"),
        ("no-route: maybe", "no-route must be a boolean"),
        ("random-route: true, default-route: true", "random-route and default-route may not be used together"),
        ("services: [database]", "services cannot be bound"),
        ("docker: {image: x}", "docker is not supported"),
        ("lifecycle: docker", "lifecycle 'docker' is not supported"),
    ],
)
def test_every_mistake_is_told_with_app_and_key(body: str, text: str) -> None:
    found = problem(body)
    assert text in found
    assert found.startswith("For application 'dora'")


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest("applications: [{name: a, memory: x, instances: y}, {name: b, timeout: z}, {memory: 1G}]")
    assert [text.split(":")[0] for text in caught.value.details] == [
        "For application 'a'",
        "For application 'a'",
        "For application 'b'",
        "For application at index 2",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no 'applications' field"),
        ("- a", "no 'applications' field"),
        ("applications: {name: x}", "no 'applications' field"),
        ("applications: []", "'applications' is empty"),
        ("applications: [x]", "index 0: it must be a mapping"),
        ("applications: [{}]", "index 0: name must be given"),
        ("applications: [{name: ''}]", "index 0: name must not be empty"),
        ("applications: [{name: 12}]", "index 0: name must be a string; put it in quotes"),
        ("applications: [{name: a}, {name: A}]", "name is used by more than one application"),
        ("applications: [{name: a, name: b}]", "key 'name' is given twice"),
        ("applications: [{name: a", "Cannot parse manifest at line"),
        ("a: b: c", "Cannot parse manifest at line 1"),
        ("applications: !!python/object:os.system [x]", "Cannot parse manifest"),
        ("applications:\n- name: a\n\tmemory: 1G", "Cannot parse manifest at line"),
        ("a: 1\n---\nb: 2", "Cannot parse manifest"),
        ("applications: &a [*a]", "Cannot parse manifest"),
        ("x: " + "[" * 60 + "]" * 60, "nested deeper"),
        ("applications: [{name: " + "x" * 300 + "}]", "Name is too long"),
    ],
)
def test_what_is_no_manifest_is_refused(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text)
    assert message in "\n".join(caught.value.details)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ManifestError, match="not UTF-8"):
        parse_manifest(b"applications: [{name: \xff\xfe}]")


def test_a_large_manifest_is_refused_by_size() -> None:
    with pytest.raises(ManifestError, match="the limit is 1000 bytes"):
        parse_manifest("applications: [{name: a}]" + "#" * 2000, limit_bytes=1000)


def test_aliases_that_multiply_are_refused_before_they_are_built() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ManifestError, match="anchors and aliases expand"):
        parse_manifest("\n".join([*lines, "applications: [{name: a}]"]))


def test_anchors_and_merge_keys_work() -> None:
    manifest = parse_manifest(
        "defaults: &d {memory: 128M, env: {A: b}}\n"
        "applications:\n- {<<: *d, name: one}\n- {<<: *d, name: two, memory: 1G}"
    )
    assert [one.processes[0].memory_mb for one in manifest.applications] == [128, 1024]
    assert manifest.applications[1].environment == {"A": "b"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("text", "text"),
        ("3", "3"),
        ("010", "010"),
        ("1.10", "1.10"),
        ("1e3", "1e3"),
        ("12:30", "12:30"),
        ("2026-01-02", "2026-01-02"),
        ("true", "true"),
        ("no", "false"),
        ("{a: [1, true]}", '{"a":[1,true]}'),
        ("[]", "[]"),
        ("''", ""),
        ("null", None),
        ("~", None),
    ],
)
def test_environment_values_become_the_text_that_was_written(text: str, value: str | None) -> None:
    assert app(f"env: {{K: {text}}}").environment == {"K": value}


@pytest.mark.parametrize("text", ["null", "default", "'null'", "~"])
def test_a_command_is_reset_by_null(text: str) -> None:
    assert web(f"command: {text}").command is None


def test_a_command_that_is_not_mentioned_is_left_alone() -> None:
    assert web("memory: 1G").command is UNSET


@pytest.mark.parametrize(
    ("body", "buildpacks"),
    [
        ("buildpacks: [a, b]", ["a", "b"]),
        ("buildpack: a", ["a"]),
        ("buildpack: default", []),
        ("buildpack: null", []),
        ("buildpacks: []", []),
        ("memory: 1G", UNSET),
    ],
)
def test_buildpacks_are_listed_reset_or_left_alone(body: str, buildpacks: object) -> None:
    assert app(body).buildpacks == buildpacks


def test_no_health_check_means_the_process_alone() -> None:
    assert web("health-check-type: none").health.type == "process"


def test_a_stack_is_reset_by_null() -> None:
    assert app("stack: null").stack is None


def test_keys_at_the_top_are_those_of_web() -> None:
    made = app("memory: 64M, instances: 2, processes: [{type: worker, instances: 1}]")
    assert [(one.type, one.instances) for one in made.processes] == [("web", 2), ("worker", 1)]


def test_keys_at_the_top_are_passed_over_with_a_warning_when_web_is_listed() -> None:
    manifest = parse_manifest("applications: [{name: dora, memory: 64M, processes: [{type: web, instances: 2}]}]")
    assert [(one.type, one.memory_mb) for one in manifest.applications[0].processes] == [("web", UNSET)]
    assert "memory ignored" in manifest.warnings[0]


def test_an_app_that_says_nothing_about_processes_touches_none() -> None:
    assert app("env: {A: b}").processes == []


def test_empty_services_are_no_services() -> None:
    assert app("services: []").name == "dora"


@pytest.mark.parametrize(
    ("body", "near"), [("memroy: 1G", "memory"), ("instnaces: 1", "instances"), ("host: x", None), ("domain: y", None)]
)
def test_unknown_keys_are_warned_of(body: str, near: str | None) -> None:
    manifest = parse_manifest(f"applications: [{{name: dora, {body}}}]")
    assert f"unknown key '{body.split(':')[0]}' was ignored" in manifest.warnings[0]
    assert near is None or f"did you mean '{near}'?" in manifest.warnings[0]


@given(st.integers(min_value=1, max_value=4 * 1024 * 1024))
def test_a_written_size_reads_back(megabytes: int) -> None:
    size = parse_bytes(format_mb(megabytes))
    assert size == megabytes * 1024 * 1024


@given(st.integers(min_value=0, max_value=2**50))
def test_a_written_rate_reads_back(size_bytes: int) -> None:
    assert parse_bytes(format_bytes(size_bytes)) == size_bytes


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused_with_details(text: str) -> None:
    try:
        parse_manifest(text)
    except ManifestError as error:
        assert error.details


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "memory",
    "instances",
    "env",
    "routes",
    "processes",
    "sidecars",
    "metadata",
    "command",
    "buildpacks",
    "features",
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*KEYS, "timeout", "services", "stack", "no-route"]), values, max_size=5))
def test_any_value_under_any_key_is_parsed_or_refused_by_name(entry: dict[str, object]) -> None:
    import yaml

    text = yaml.safe_dump({"applications": [{"name": "dora", **entry}]})
    try:
        parse_manifest(text)
    except ManifestError as error:
        assert all("dora" in detail or "Cannot parse manifest" in detail for detail in error.details)
