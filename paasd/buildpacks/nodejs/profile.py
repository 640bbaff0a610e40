"""How a Node.js app starts, and the environment it gets; what the developer set wins."""

from pathlib import Path

from ..interface import Step
from .manifest import Package

_SCRIPT = """\
export NODE_ENV=${{NODE_ENV:-production}}
export NODE_HOME={node}
export PATH="$PATH:$HOME/node_modules/.bin"
export MEMORY_AVAILABLE="${{MEMORY_LIMIT%m}}"
export WEB_MEMORY="${{WEB_MEMORY:-512}}"
export WEB_CONCURRENCY="${{WEB_CONCURRENCY:-1}}"
if [ "${{OPTIMIZE_MEMORY:-}}" = true ] && [ -n "$MEMORY_AVAILABLE" ]; then
  export NODE_OPTIONS="${{NODE_OPTIONS:+$NODE_OPTIONS }}--max_old_space_size=$((MEMORY_AVAILABLE * 75 / 100))"
fi
"""


def start_command(app: Path, package: Package) -> str | None:
    """`npm start`, then server.js, then what package.json calls main."""
    if package.scripts.get("start"):
        return "npm start"
    for name in ("server.js", package.main):
        if name and (app / name).is_file():
            return f"node {name}"
    return None


def write(step: Step, package: Package) -> None:
    """deps/N/profile.d/node.sh, config.yml and, when there is a start command, launch.yml."""
    folder = step.deps_dir / "profile.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "node.sh").write_text(_SCRIPT.format(node=step.plan.facts["node"]))
    (step.deps_dir / "config.yml").write_text(f'name: nodejs\nversion: "{step.plan.version}"\nconfig: {{}}\n')
    command = start_command(step.app, package)
    if command is not None:
        (step.deps_dir / "launch.yml").write_text(f'processes:\n- type: web\n  command: "{command}"\n')
