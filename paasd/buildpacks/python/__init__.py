"""The Python buildpack: one engine (uv) for every way in which a Python app names its dependencies.

`sources.py` finds the file that counts, `runtime.py` the interpreter, `install.py` fills deps/N/python (the dependency
layer, bytecode included), `django.py` collects static files, `suggest.py` guesses a start command for the error text.
"""

from ..failure import StagingFailure
from ..interface import Layer, Plan, Project, Step
from . import django, install, profile, runtime, sources, suggest

__all__ = ["Python"]


class Python:
    """Detects requirements.txt, Pipfile, pyproject.toml, uv.lock, poetry.lock and setup.py."""

    name = "python"

    def detect(self, project: Project) -> str | None:
        return "python" if sources.find(project) is not None else None

    def plan(self, project: Project) -> Plan:
        source = sources.find(project)
        interpreter = runtime.choose(project, source)
        uv = project.catalogue.pick("uv", None, style="python")
        if uv is None:
            raise StagingFailure("python", "this node's catalogue has no uv", "ask the operator to add it")
        key = sources.layer_key(project, source, interpreter.version, uv.version)
        layers = (Layer(key, (f"{project.layout.deps}/{project.index}/python",)),) if source is not None else ()
        chain = (interpreter.toolchain,) if interpreter.toolchain is not None else ()
        facts = {"python": interpreter.program, "uv": f"{project.root_of(uv)}/bin/uv"}
        moving = source is not None and not source.locked
        return Plan((uv, *chain), chain, layers, interpreter.version, moving, facts)

    def supply(self, step: Step) -> None:
        step.title(f"Python {step.plan.version}")
        source = sources.find(step.project)
        for line in runtime.notes(step.project, source, step.plan.version):
            step.log(line)
        install.dependencies(step, source)
        install.own_package(step, source)
        install.programs(step)
        profile.write(step)

    def finalize(self, step: Step) -> None:
        django.collect_static(step)
        suggest.write(step)
