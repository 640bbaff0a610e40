"""Collect a Django app's static files while staging, as Cloud Foundry and Heroku do."""

from ..failure import StagingFailure
from ..interface import Step


def collect_static(step: Step) -> None:
    """Run `manage.py collectstatic` unless DISABLE_COLLECTSTATIC is set. Raises StagingFailure."""
    if not (step.app / "manage.py").is_file() or not _has_django(step):
        return
    if step.env.get("DISABLE_COLLECTSTATIC", "0") not in ("", "0"):
        step.log("DISABLE_COLLECTSTATIC is set: static files are not collected")
        return
    step.title("Collecting static files: manage.py collectstatic --noinput")
    path = f"{step.deps_dir}/bin:{step.env.get('PATH', '')}"
    env = {"PATH": path, "PYTHONPATH": _python_path(step), "PYTHONUNBUFFERED": "1", "HOME": str(step.app)}
    code, tail = step.run(["python", "manage.py", "collectstatic", "--noinput"], env=env)
    if not code:
        return
    said = next((line.strip() for line in reversed(tail) if line.strip()), "no output")
    text = "\n".join(tail)
    if "Unknown command: 'collectstatic'" in text:
        step.log("django.contrib.staticfiles is not installed: nothing to collect")
        return
    advice = "correct it, or set DISABLE_COLLECTSTATIC=1 in the app's environment"
    if "STATIC_ROOT" in text:
        advice = "set STATIC_ROOT in the settings, or DISABLE_COLLECTSTATIC=1 in the app's environment"
    raise StagingFailure("python", f"manage.py collectstatic failed: {said[:240]}", advice)


def _has_django(step: Step) -> bool:
    return any((step.deps_dir / "python" / "lib").glob("python*/site-packages/django/__init__.py"))


def _python_path(step: Step) -> str:
    return ":".join(filter(None, [str(step.app), str(step.deps_dir / "project"), step.env.get("PYTHONPATH", "")]))
