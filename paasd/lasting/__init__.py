"""Programs of others that outlive the daemon: Envoy, etcd. Started detached, recorded, found again, watched by pidfd.

The daemon may be killed at any moment: what it started goes on, and the next one takes it over by pid and start time.
"""

from paasd.lasting.process import LastingProcess, boot_id, start_time

__all__ = ["LastingProcess", "boot_id", "start_time"]
