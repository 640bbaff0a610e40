"""A Python app says itself how it starts; when it does not, guess what to write into the Procfile."""

import json
import os
import re
from pathlib import Path

from ..interface import Step

_SKIPPED = frozenset(
    {"node_modules", "tests", "test", "docs", "migrations", "venv", ".venv", "vendor", "static", "templates"}
)
_WSGI = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(?:Flask|Bottle|Falcon|get_wsgi_application|create_app|make_app)\(", re.M
)
_ASGI = re.compile(
    r"^(\w+)\s*(?::[^=\n]+)?=\s*(?:\w+\.)*(?:FastAPI|Starlette|Quart|Litestar|BlackSheep|get_asgi_application)\(", re.M
)
_ASGI_FUNCTION = re.compile(r"^async def (\w+)\(\s*scope\s*[:,]", re.M)
_FACTORY = re.compile(r"^def (create_app|make_app)\(", re.M)
_FILES = 200


def start_command(app: Path) -> str | None:
    """The likeliest command for a web process; None without a clue."""
    candidates: list[tuple[int, str]] = []
    for count, path in enumerate(_modules(app)):
        if count >= _FILES:
            break
        with path.open("rb") as file:
            text = file.read(200_000).decode("utf-8", "replace")
        module = ".".join(path.relative_to(app).with_suffix("").parts).removesuffix(".__init__").removeprefix("src.")
        depth = len(path.relative_to(app).parts)
        if match := _ASGI.search(text) or _ASGI_FUNCTION.search(text):
            rank = 3 if path.name == "asgi.py" else 1
            candidates.append((depth * 10 + rank, f"uvicorn {module}:{match[1]} --host 0.0.0.0 --port $PORT"))
        elif match := _WSGI.search(text):
            rank = 0 if path.name == "wsgi.py" else 1
            candidates.append((depth * 10 + rank, f"gunicorn {module}:{match[1]}"))
        elif match := _FACTORY.search(text):
            candidates.append((depth * 10 + 5, f"gunicorn '{module}:{match[1]}()'"))
    return min(candidates)[1] if candidates else None


def _modules(app: Path) -> list[Path]:
    found: list[Path] = []
    for directory, folders, files in os.walk(app):
        base = Path(directory)
        depth = len(base.relative_to(app).parts)
        folders[:] = sorted(name for name in folders if depth < 2 and name not in _SKIPPED and not name.startswith("."))
        found += [base / name for name in sorted(files) if name.endswith(".py") and not (base / name).is_symlink()]
    return sorted(found, key=lambda path: len(path.parts))


def write(step: Step) -> None:
    """suggestion.json, for whoever finds that nothing says how to start the app."""
    command = start_command(step.app)
    if command is not None:
        (step.project.layout.staging / "suggestion.json").write_text(json.dumps({"command": command}))
        if not (step.app / "Procfile").is_file():
            step.log(f"There is no Procfile; if the manifest has no command either, try: web: {command}")
