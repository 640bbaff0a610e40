"""The order of calls, arguments and exit codes of Cloud Foundry's builder, with buildpacks written in shell."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from paasd.buildpacks.hashing import xxh64

from .plain import Plain

# Each program notes its name and arguments, and what it sees of others.
NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$(dirname "$(dirname "$0")")/../../calls"\n'


def pack(root: Path, name: str, **programs: str) -> str:
    folder = root / "packs" / name
    (folder / "bin").mkdir(parents=True)
    for program, script in programs.items():
        path = folder / "bin" / program
        path.write_text(NOTE + script)
        path.chmod(0o755)
    return str(folder)


def calls(plain: Plain) -> list[str]:
    path = plain.root / "tmp" / "calls"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def plain(tmp_path: Path) -> Plain:
    return Plain(tmp_path)


FILES = {"hello.txt": "hi"}


def test_the_first_buildpack_that_detects_is_the_only_one(plain: Plain) -> None:
    no = pack(plain.root, "no", detect="exit 1\n", compile="")
    yes = pack(plain.root, "yes", detect="echo Yes 1.0\n", compile="touch $1/built\n", release="echo '---'\n")
    later = pack(plain.root, "later", detect="echo Later\n", compile="")
    custom = {"no": no, "yes": yes, "later": later}
    assert plain.stage(FILES, custom=custom, order=["no", "yes", "later"]) == 0, plain.output
    names = [line.split()[0] for line in calls(plain)]
    assert names == ["detect", "detect", "compile", "release"]
    assert (plain.app / "built").exists()
    info = json.loads((plain.home / "staging_info.yml").read_text())
    assert info["detected_buildpack"] == "Yes 1.0"


def test_named_buildpacks_are_supplied_in_order_and_the_last_one_is_finalized(plain: Plain) -> None:
    one = pack(plain.root, "one", supply="mkdir -p $3/$4/bin; echo one > $3/$4/marker\n")
    two = pack(plain.root, "two", supply="cat $3/0/marker\n", finalize="touch $5/two.sh\n")
    assert plain.stage(FILES, custom={"one": one, "two": two}, buildpacks=["one", "two"]) == 0, plain.output
    cache, app, deps = plain.home / "cache", plain.app, plain.deps
    assert calls(plain) == [
        f"supply {app} {cache}/{xxh64(b'one')} {deps} 0",
        f"supply {app} {cache}/final {deps} 1",
        f"finalize {app} {cache}/final {deps} 1 {plain.home}/profile.d",
    ]
    assert (plain.home / "profile.d" / "two.sh").exists()


def test_indexes_are_padded_from_ten_buildpacks_on(plain: Plain) -> None:
    custom = {f"p{n}": pack(plain.root, f"p{n}", supply="") for n in range(11)}
    assert plain.stage(FILES, custom=custom, buildpacks=[*custom, "binary"]) == 0, plain.output
    assert [line.split()[-1] for line in calls(plain)] == [f"{n:02d}" for n in range(11)]


CODES = [
    ("nothing detects", {"a": {"detect": "exit 1\n"}}, [], 222),
    ("compile fails", {"a": {"compile": "exit 9\n"}}, ["a"], 223),
    ("release fails", {"a": {"compile": "", "release": "exit 9\n"}}, ["a"], 224),
    ("release is no YAML", {"a": {"compile": "", "release": "echo 'a: ['\n"}}, ["a"], 224),
    ("an earlier supply fails", {"a": {"supply": "exit 9\n"}, "b": {"compile": ""}}, ["a", "b"], 225),
    ("the last supply fails", {"a": {"supply": "exit 9\n", "finalize": ""}}, ["a"], 223),
    ("finalize fails", {"a": {"supply": "", "finalize": "exit 9\n"}}, ["a"], 223),
    ("no supply in front", {"a": {"compile": ""}, "b": {"compile": ""}}, ["a", "b"], 225),
]


@pytest.mark.parametrize(("name", "packs", "named", "code"), CODES, ids=[case[0] for case in CODES])
def test_exit_codes(plain: Plain, name: str, packs: dict[str, dict[str, str]], named: list[str], code: int) -> None:
    custom = {key: pack(plain.root, key, **programs) for key, programs in packs.items()}
    assert plain.stage(FILES, custom=custom, buildpacks=named, order=list(custom)) == code, plain.output
    failure = plain.read("failure")
    assert failure["code"] == code
    assert failure["reason"]
    if name == "no supply in front":
        assert calls(plain) == [], "nothing runs before all are known to fit"


def test_process_types_of_later_sources_win(plain: Plain) -> None:
    launch = (
        'mkdir -p $3/$4; printf "processes:\\n- type: %s\\n  command: %s\\n- type: web\\n  command: launch\\n" $4 x'
        " > $3/$4/launch.yml\n"
    )
    side = (
        'printf "processes:\\n- type: proxy\\n  command: p\\n  limits:\\n    memory: 64M\\n" > $3/$4/launch.yml\n'
        'printf "  platforms:\\n    cloudfoundry:\\n      sidecar_for: [web]\\n" >> $3/$4/launch.yml\n'
    )
    release = "printf 'default_process_types:\\n  web: release\\n  clock: release\\nconfig_vars: {A: b}\\n'\n"
    one = pack(plain.root, "one", supply=launch)
    two = pack(plain.root, "two", supply=side)
    three = pack(plain.root, "three", compile="", release=release)
    files = {**FILES, "Procfile": "clock: procfile\n"}
    custom = {"one": one, "two": two, "three": three}
    assert plain.stage(files, custom=custom, buildpacks=["one", "two", "three"]) == 0, plain.output
    result = plain.read("result")
    assert result["process_types"] == {"0": "x", "web": "release", "clock": "procfile"}
    assert result["sidecars"] == [{"name": "proxy", "process_types": ["web"], "command": "p", "memory": "64M"}]


def test_built_in_and_third_party_buildpacks_mix(plain: Plain) -> None:
    script = (
        'mkdir -p $3/$4/bin $3/$4/profile.d $3/$4/env; echo "#!/bin/sh" > $3/$4/bin/tool; chmod +x $3/$4/bin/tool\n'
        'echo "export TOOL=1" > $3/$4/profile.d/tool.sh; printf v > $3/$4/env/TOOL_ENV\n'
    )
    tool = pack(plain.root, "tool", supply=script)
    files = {"Procfile": "web: tool\n"}
    assert plain.stage(files, custom={"tool": tool}, buildpacks=["tool", "binary_buildpack"]) == 0, plain.output
    scripts = sorted(path.name for path in (plain.home / "profile.d").iterdir())
    assert scripts == ["000_multi-supply.sh", "0_tool.sh"]
    assert "$DEPS_DIR/0/bin" in (plain.home / "profile.d" / "000_multi-supply.sh").read_text()
    assert [entry["name"] for entry in plain.read("result")["lifecycle_metadata"]["buildpacks"]] == ["tool", "binary"]


def test_a_zipped_buildpack_below_one_directory_works(plain: Plain) -> None:
    archive = plain.root / "pack.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        info = zipfile.ZipInfo("pack-1.0/bin/compile")
        info.external_attr = 0o100755 << 16
        opened.writestr(info, "#!/bin/sh\ntouch $1/compiled\n")
    assert plain.stage(FILES, custom={"zipped": str(archive)}, buildpacks=["zipped"]) == 0, plain.output
    assert (plain.app / "compiled").exists()


def test_a_buildpack_from_a_git_repository_at_a_branch(plain: Plain) -> None:
    folder = Path(pack(plain.root, "git", compile="touch $1/from-git\n"))
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(folder)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    subprocess.run([*git, "branch", "v1"], check=True)
    assert plain.stage(FILES, buildpacks=[f"file://{folder}#v1"]) == 0, plain.output
    assert (plain.app / "from-git").exists()


def test_unused_caches_go_and_the_final_one_stays(plain: Plain) -> None:
    for name in ("final", "0123456789abcdef"):
        (plain.home / "cache" / name).mkdir(parents=True)
        (plain.home / "cache" / name / "kept").touch()
    assert plain.stage({"Procfile": "web: true\n"}) == 0, plain.output
    assert (plain.home / "cache" / "final" / "kept").exists()
    assert not (plain.home / "cache" / "0123456789abcdef").exists()


def test_a_buildpacks_background_process_does_not_hold_the_build_up(plain: Plain) -> None:
    left = pack(plain.root, "left", compile="sleep 300 &\necho started\n")
    assert plain.stage(FILES, custom={"left": left}, buildpacks=["left"]) == 0, plain.output
    assert "started" in plain.output


def test_a_buildpack_cannot_name_types_that_no_process_can_have(plain: Plain) -> None:
    odd = pack(plain.root, "odd", compile="true\n", release="echo 'default_process_types: {\"../x\": run}'\n")
    assert plain.stage(FILES, custom={"odd": odd}, buildpacks=["odd"]) != 0
    assert "invalid process type '../x'" in plain.read("failure")["reason"]
