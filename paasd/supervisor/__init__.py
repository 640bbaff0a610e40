"""Runs the instances of this node: starts, watches, restarts and stops them as their rows say, and owns their facts.

`lifecycle` is the pure core of one instance (with `probing`, `backoff`, `texts`), `instance` the shell that carries it
out in the sandbox, `supervisor` compares rows with what runs. Instances outlive the daemon and are taken over again.
"""

from paasd.sandbox import PORT
from paasd.supervisor.supervisor import Supervisor, open_supervisor

__all__ = ["PORT", "Supervisor", "open_supervisor"]
