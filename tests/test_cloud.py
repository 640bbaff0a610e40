"""What a cloud is given at first boot: the user data are valid, and the zone label is right on every cloud."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from paasd.config import Config, load_config

CLOUD = Path(__file__).parent.parent / "contrib" / "cloud"


def zone(folder: Path, answers: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
    """The label, on a machine whose cloud-init gives these answers."""
    program = folder / "cloud-init"
    cases = "".join(f"  {key}) echo '{value}' ;;\n" for key, value in answers.items())
    program.write_text(f'#!/bin/sh\n[ "$1" = query ] || exit 2\ncase "$2" in\n{cases}  *) exit 1 ;;\nesac\n')
    program.chmod(0o755)
    variables = {"PATH": f"{folder}:/usr/bin:/bin", **environment}
    command = [str(CLOUD / "first-boot"), "--zone"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize(
    ("answers", "label"),
    [
        ({"v1.cloud_name": "aws", "v1.availability_zone": "eu-west-2a", "v1.region": "eu-west-2"}, "aws/eu-west-2a"),
        ({"v1.cloud_name": "gce", "v1.availability_zone": "europe-west2-b"}, "gce/europe-west2-b"),
        ({"v1.cloud_name": "azure", "v1.availability_zone": "None", "v1.region": "uksouth"}, "azure/uksouth"),
        ({"v1.cloud_name": "OpenStack", "v1.availability_zone": "Room 1"}, "openstack/room-1"),
    ],
)
def test_the_zone_label_names_cloud_and_zone(tmp_path: Path, answers: dict[str, str], label: str) -> None:
    done = zone(tmp_path, answers)
    assert (done.returncode, done.stdout.strip()) == (0, label)


def test_a_zone_that_is_given_wins(tmp_path: Path) -> None:
    done = zone(tmp_path, {"v1.availability_zone": "a"}, PAASD_ZONE="dc1/rack4")
    assert done.stdout.strip() == "dc1/rack4"


def test_a_machine_that_nobody_can_place_says_what_to_set(tmp_path: Path) -> None:
    done = zone(tmp_path, {"v1.cloud_name": "nocloud"})
    assert done.returncode == 1
    assert "PAASD_ZONE" in done.stderr


def test_what_is_written_opens_apps_and_ssh_to_others_and_is_left_alone_the_next_time(tmp_path: Path) -> None:
    tree, etc, tools = tmp_path / "source", tmp_path / "etc", tmp_path / "tools"
    script = tree / "contrib" / "cloud" / "first-boot"
    script.parent.mkdir(parents=True)
    tools.mkdir()
    shutil.copy2(CLOUD / "first-boot", script)
    for program in (tree / "contrib" / "install", tools / "systemctl"):
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
    variables = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "PAASD_ETC": str(etc),
        "PAASD_DATA": str(tmp_path),
        "PAASD_ZONE": "a/b",
    }
    subprocess.run([str(script)], env=variables, check=True, timeout=30)
    config = load_config(etc / "paasd.toml")
    assert (config.node.zone, config.router.host, config.ssh_host, config.ssh.port) == (
        "a/b",
        "0.0.0.0",
        "0.0.0.0",
        2222,
    )
    (etc / "paasd.toml").write_text('[router]\nhost = "::"\n\n[ssh]\nhost = "127.0.0.1"\n')
    subprocess.run([str(script)], env=variables, check=True, timeout=30)
    config = load_config(etc / "paasd.toml")
    assert (config.router.host, config.ssh_host) == ("::", "127.0.0.1")
    assert Config().ssh_host == Config().router.host == "127.0.0.1"


def test_the_user_data_are_valid_and_name_what_exists() -> None:
    text = (CLOUD / "cloud-init.yaml").read_text()
    assert text.startswith("#cloud-config\n")
    content = yaml.safe_load(text)
    assert content["write_files"][0]["permissions"] == "0600"
    script = Path(content["runcmd"][-1][0])
    assert (CLOUD.parent.parent / script.relative_to("/opt/paasd-source")).stat().st_mode & 0o111
