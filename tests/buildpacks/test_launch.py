"""How a droplet starts: which command, which scripts before it, which environment."""

import json
import subprocess
from pathlib import Path

import pytest

from paasd.buildpacks.launch import database_url, launch_argv, launch_environment, staging_environment, start_command

PRECEDENCE = [
    ("own", {"web": "droplet"}, "web", "own"),
    (None, {"web": "droplet"}, "web", "droplet"),
    (None, {"web": "droplet", "worker": "w"}, "worker", "w"),
    (None, {"web": "droplet"}, "worker", "droplet"),
    ("", {}, "web", None),
    (None, {"worker": "w"}, "web", None),
]


@pytest.mark.parametrize(("own", "types", "kind", "expected"), PRECEDENCE)
def test_start_command_precedence(own: str | None, types: dict[str, str], kind: str, expected: str | None) -> None:
    assert start_command(own, types, kind) == expected


def test_scripts_are_sourced_in_order_before_the_command(tmp_path: Path) -> None:
    app = tmp_path / "app"
    for name, text in {
        "profile.d/2.sh": "export TRAIL=${TRAIL}b",
        "profile.d/1.sh": "export TRAIL=a",
        "app/.profile.d/x.sh": "export TRAIL=${TRAIL}c",
        "app/.profile": "export TRAIL=${TRAIL}d",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    env = {"HOME": str(app), "PATH": "/usr/bin:/bin"}
    command = "echo $TRAIL in $PWD 'with \"quotes\"'; exit 7"
    done = subprocess.run(launch_argv(command), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout.splitlines() == [
        "Invoking pre-start scripts.",
        "Invoking start command.",
        f'abcd in {app} with "quotes"',
    ]
    done = subprocess.run(
        launch_argv(command, with_profile=False), env=env, capture_output=True, text=True, check=False
    )
    assert f'abc in {app} with "quotes"' in done.stdout


def test_the_platforms_variables_win_over_the_apps() -> None:
    env = launch_environment(
        app_environment={"PORT": "1", "HOME": "/x", "OWN": "yes", "DATABASE_URL": "own"},
        vcap_application={"name": "a"},
        vcap_services={"db": [{"credentials": {"uri": "postgresql://u:p@h/d"}}]},
        memory_mb=256,
        instance_guid="guid",
        instance_index=3,
        address="10.254.0.9",
    )
    assert env["PORT"] == env["VCAP_APP_PORT"] == "8080"
    assert env["HOME"] == "/home/vcap/app"
    assert env["OWN"] == "yes"
    assert env["DATABASE_URL"] == "postgres://u:p@h/d"
    assert env["CF_INSTANCE_INDEX"] == env["INSTANCE_INDEX"] == "3"
    assert env["CF_INSTANCE_ADDR"] == "10.254.0.9:8080"
    assert json.loads(env["VCAP_APPLICATION"])["instance_index"] == 3
    assert env["MEMORY_LIMIT"] == "256m"


def test_there_is_no_port_while_staging() -> None:
    env = staging_environment(app_environment={}, vcap_application={}, vcap_services={}, memory_mb=1024, stack="host")
    assert "PORT" not in env
    assert env["CF_STACK"] == "host"
    assert env["MEMORY_LIMIT"] == "1024m"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("mysql://h/d", "mysql2://h/d"), ("postgres://h/d", "postgres://h/d"), ("amqp://h", None), ("", None)],
)
def test_database_url_is_made_of_the_first_database(uri: str, expected: str | None) -> None:
    assert database_url({"other": [{"credentials": {}}], "db": [{"credentials": {"uri": uri}}]}) == expected
