"""From a droplet to a running process: which command, which environment, which scripts before it."""

import json
from collections.abc import Mapping
from typing import Any

PATH = "/usr/local/bin:/usr/bin:/bin"
NO_COMMAND = "no start command specified or detected in droplet"

# As Cloud Foundry's launcher: profile.d, then .profile.d, then .profile, in lexical order, unquoted on purpose.
_SCRIPT = r"""
cd "$HOME" || exit 1
echo "Invoking pre-start scripts."
if [ -n "$(ls ../profile.d/* 2>/dev/null)" ]; then for env_file in ../profile.d/*; do source $env_file; done; fi
if [ -n "$(ls .profile.d/* 2>/dev/null)" ]; then for env_file in .profile.d/*; do source $env_file; done; fi
if [ "$2" != no-profile ] && [ -f .profile ]; then source .profile; fi
unset env_file
echo "Invoking start command."
exec bash -c "$1"
"""


def start_command(process_command: str | None, process_types: Mapping[str, str], process_type: str) -> str | None:
    """The process's own command, else the droplet's for its type, else the one for web; None without any."""
    return process_command or process_types.get(process_type) or process_types.get("web") or None


def launch_argv(command: str, *, with_profile: bool = True) -> list[str]:
    """argv of a process (or, without `.profile`, of an interactive shell's command) inside the container."""
    return ["/bin/bash", "-c", _SCRIPT, "launcher", command, "" if with_profile else "no-profile"]


_SESSION = r"""
cd "$HOME" || exit 1
for env_file in ../profile.d/* .profile.d/*; do if [ -f "$env_file" ]; then source "$env_file" >&2; fi; done
unset env_file
if [ $# -gt 0 ]; then exec bash -c "$1"; fi
exec bash
"""


def session_argv(command: str | None) -> list[str]:
    """argv of what a person runs beside the app, a shell without a command. What scripts print is not its output."""
    return ["/bin/bash", "-c", _SESSION, "session", *([] if command is None else [command])]


def launch_environment(
    *,
    app_environment: Mapping[str, str],
    vcap_application: Mapping[str, Any],
    vcap_services: Mapping[str, Any],
    memory_mb: int,
    home: str = "/home/vcap",
    port: int = 8080,
    instance_guid: str = "",
    instance_index: int = 0,
    address: str = "",
) -> dict[str, str]:
    """Environment of a running process, later groups winning as in Cloud Foundry: app, platform, instance."""
    application = {
        **vcap_application,
        "host": "0.0.0.0",
        "port": port,
        "instance_id": instance_guid,
        "instance_index": instance_index,
    }
    ports = json.dumps([{"external": port, "internal": port}])
    env = {
        "LANG": "en_US.UTF-8",
        "PATH": PATH,
        "USER": "vcap",
        **app_environment,
        "HOME": f"{home}/app",
        "TMPDIR": f"{home}/tmp",
        "DEPS_DIR": f"{home}/deps",
        "MEMORY_LIMIT": f"{memory_mb}m",
        "VCAP_APPLICATION": json.dumps(application),
        "VCAP_SERVICES": json.dumps(vcap_services),
        "PORT": str(port),
        "VCAP_APP_PORT": str(port),
        "VCAP_APP_HOST": "0.0.0.0",
        "INSTANCE_GUID": instance_guid,
        "INSTANCE_INDEX": str(instance_index),
        "CF_INSTANCE_GUID": instance_guid,
        "CF_INSTANCE_INDEX": str(instance_index),
        "CF_INSTANCE_IP": address,
        "CF_INSTANCE_INTERNAL_IP": address,
        "CF_INSTANCE_PORT": str(port),
        "CF_INSTANCE_ADDR": f"{address}:{port}",
        "CF_INSTANCE_PORTS": ports,
    }
    if (url := database_url(vcap_services)) is not None:
        env["DATABASE_URL"] = url
    return env


def database_url(vcap_services: Mapping[str, Any]) -> str | None:
    """The first bound database's address, in document order; it overrides what the developer set."""
    schemes = {"mysql": "mysql2", "mysql2": "mysql2", "postgres": "postgres", "postgresql": "postgres"}
    for instances in vcap_services.values():
        for instance in instances if isinstance(instances, list) else ():
            credentials = instance.get("credentials") if isinstance(instance, dict) else None
            uri = credentials.get("uri") if isinstance(credentials, dict) else None
            scheme, separator, rest = str(uri or "").partition("://")
            if separator and scheme in schemes:
                return f"{schemes[scheme]}://{rest}"
    return None


def staging_environment(
    *,
    app_environment: Mapping[str, str],
    vcap_application: Mapping[str, Any],
    vcap_services: Mapping[str, Any],
    memory_mb: int,
    stack: str,
) -> dict[str, str]:
    """Environment of buildpacks, later groups winning: defaults, app, stack, platform. There is no PORT."""
    env = {
        "LANG": "en_US.UTF-8",
        "PATH": PATH,
        "USER": "vcap",
        **app_environment,
        "HOME": "/home/vcap",
        "TMPDIR": "/home/vcap/tmp",
        "CF_STACK": stack,
        "MEMORY_LIMIT": f"{memory_mb}m",
        "VCAP_APPLICATION": json.dumps(vcap_application),
        "VCAP_SERVICES": json.dumps(vcap_services),
    }
    if (url := database_url(vcap_services)) is not None:
        env["DATABASE_URL"] = url
    return env
