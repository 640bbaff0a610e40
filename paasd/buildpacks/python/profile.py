"""The environment that a Python app gets at start; what the developer set wins."""

from ..interface import Step

_SCRIPT = """\
export LANG=${{LANG:-en_US.UTF-8}}
export PYTHONUNBUFFERED=1
export PYTHONHASHSEED=${{PYTHONHASHSEED:-random}}
export PYTHONPATH="$HOME{extra}${{PYTHONPATH:+:$PYTHONPATH}}"
export FORWARDED_ALLOW_IPS="${{FORWARDED_ALLOW_IPS:-*}}"
export GUNICORN_CMD_ARGS="${{GUNICORN_CMD_ARGS:---access-logfile -}}"
if [ -z "${{WEB_CONCURRENCY:-}}" ]; then
  memory_mb="${{MEMORY_LIMIT%m}}"
  case "$memory_mb" in ''|*[!0-9]*) memory_mb=512 ;; esac
  # One worker for each 256 MB, as the usual frameworks need.
  WEB_CONCURRENCY=$((memory_mb / 256))
  [ "$WEB_CONCURRENCY" -ge 1 ] || WEB_CONCURRENCY=1
  [ "$WEB_CONCURRENCY" -le 8 ] || WEB_CONCURRENCY=8
  export WEB_CONCURRENCY
  unset memory_mb
fi
"""


def write(step: Step) -> None:
    """deps/N/profile.d/python.sh and config.yml."""
    extra = ""
    if (step.app / "src").is_dir():
        extra += ":$HOME/src"
    if (step.deps_dir / "project").is_dir():
        extra += f":$DEPS_DIR/{step.project.index}/project"
    folder = step.deps_dir / "profile.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "python.sh").write_text(_SCRIPT.format(extra=extra))
    (step.deps_dir / "config.yml").write_text(f'name: python\nversion: "{step.plan.version}"\nconfig: {{}}\n')
