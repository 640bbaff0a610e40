"""What must hold on a machine with systemd and pure cgroup v2: each step prints a line, and the first failure stops.

Run by contrib/test-guest as `scenario.py CACHE CHECKOUT`.
"""

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from guest import Guest, open_guest

HOST = "hello.apps.localhost"
# As contrib/install does it; /opt/paasd is there already.
INSTALL = """
. /src/contrib/lib.sh
install_files
mkdir -p /root/hello
printf '[apps]\\nbuild_disk_mb = 1024\\nbuild_memory_mb = 256\\nmemory_mb = 128\\n' > /etc/paasd/paasd.toml
cat > /root/hello/server.py <<'P'
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"hello from {os.environ['CF_INSTANCE_GUID']}\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
P
echo 'web: python3 server.py' > /root/hello/Procfile
# An emulated processor is 15 times slower; what is tested is the units' behaviour, not this machine's patience.
mkdir -p /etc/systemd/system/paasd.service.d
printf '[Service]\nTimeoutStartSec=900\nWatchdogSec=120\n' > /etc/systemd/system/paasd.service.d/emulated.conf
systemctl daemon-reload
systemctl enable --now paasd-holder.service paasd.service
"""
PUSH = "/opt/paasd/bin/paasd --space main/dev push --quiet {name} /root/hello"
ASK = f"curl -sS -m 20 -H 'Host: {HOST}' http://127.0.0.1/"

# Of little memory, so that its share of an emulated processor is one that it can take.
HOG = """
mkdir -p /root/hog
echo 'while True: pass' > /root/hog/server.py
echo 'web: python3 server.py' > /root/hog/Procfile
echo 'applications: [{name: hog, memory: 24M, no-route: true, health-check-type: process}]' > /root/hog/manifest.yml
paasd --space main/dev push --quiet hog /root/hog
"""
PLACES = """
cd /sys/fs/cgroup/system.slice/paasd-holder.service
for _ in $(seq 240); do
  places=$(for f in $(find . -path './paasd-*/*' -name cpuset.cpus); do echo $(cat $f) ${f%/*}; done)
  daemon=$(grep Cpus_allowed_list /proc/$(systemctl show -P MainPID paasd)/status | cut -f 2)
  echo "$places" | grep -q '^0 ' && echo "$places" | grep -q '^1 ' && [ "$daemon" = 0 ] && break
  sleep 0.5
done
echo "$places"; echo "$daemon the daemon"; [ "$daemon" = 0 ]
"""


class Scenario:
    """The steps, in order; `name` of each is what its line says."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.passed = 0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Print the step with its time, or its failure."""
        began = time.monotonic()
        try:
            yield
        except Exception:
            print(f"FAILED {name}", flush=True)
            raise
        self.passed += 1
        print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)

    def run(self, script: str) -> str:
        """Output of a shell script in the guest; raises when it fails."""
        return self.guest.run(script).stdout.strip()

    @contextlib.contextmanager
    def under_load(self) -> Iterator[None]:
        """Requests go on meanwhile; none may fail."""
        self.run(
            f"systemd-run -q --unit=load -p StandardOutput=file:/root/load.out python3 /src/contrib/guest/load.py 80 {HOST}"
        )
        time.sleep(2)
        yield
        time.sleep(3)
        self.run("systemctl stop load.service")
        result = self.run("cat /root/load.out; rm /root/load.out")
        print(f"   {result}", flush=True)
        if " failed 0 " not in result:
            raise AssertionError(f"requests failed: {result}")

    def same_instance(self, before: str) -> None:
        """The instance was neither restarted nor moved."""
        after = self.run(ASK)
        if after != before:
            raise AssertionError(f"the instance changed: {before!r} -> {after!r}")

    def wait_ready(self) -> None:
        """The daemon answers on its socket."""
        self.run(
            "for _ in $(seq 600); do /opt/paasd/bin/paasd status >/dev/null 2>&1 && exit 0; sleep 0.5; done; journalctl -u paasd -n 40 --no-pager; exit 1"
        )

    def kill_daemon(self) -> None:
        """kill -9, then wait until systemd's new one answers."""
        self.run(
            "before=$(systemctl show -P MainPID paasd); kill -9 $before\n"
            "for _ in $(seq 600); do now=$(systemctl show -P MainPID paasd); [ $now != 0 ] && [ $now != $before ] && exit 0; sleep 0.2; done; exit 1"
        )
        self.wait_ready()


def daemon_steps(scenario: Scenario) -> None:
    """The units: start, restart, kill, reload, each under load."""
    with scenario.step("the units start and the daemon answers"):
        scenario.run(INSTALL)
        scenario.wait_ready()
        scenario.run("paasd create-space main/dev")
    with scenario.step("a push is staged and served"):
        print("   " + scenario.run(PUSH.format(name="hello")).replace("\n", "\n   "))
        first = scenario.run(ASK)
        assert first.startswith("hello from "), first
    with scenario.step("the instance's limits stand in cgroup v2"):
        found = scenario.run(
            "cd /sys/fs/cgroup/system.slice/paasd-holder.service\n"
            "for f in $(find . -name memory.max); do d=${f%/*}; [ $(cat $d/memory.max) = max ] || echo $d $(cat $d/memory.max) $(cat $d/pids.max); done"
        )
        print(f"   {found}")
        assert "max" not in found.split()[1:3], found
    with scenario.step("the unit lets the daemon put the router before tenants"):
        nice = scenario.run("ps -o ni= -C envoy | sort -u")
        assert nice.strip() == "-10", nice
    with scenario.step("who computes, and the daemon, keep off a processor of who answers"), scenario.under_load():
        scenario.run(HOG)
        print("   " + scenario.run(PLACES).replace("\n", "\n   "))
        scenario.run("paasd --space main/dev delete -y hog")
    with scenario.step("systemctl restart under load"), scenario.under_load():
        scenario.run("systemctl restart paasd")
        scenario.wait_ready()
    scenario.same_instance(first)
    with scenario.step("kill -9 under load, three times"), scenario.under_load():
        for _ in range(3):
            scenario.kill_daemon()
    scenario.same_instance(first)
    with scenario.step("daemon-reload and daemon-reexec under load"), scenario.under_load():
        scenario.run("systemctl daemon-reload; systemctl daemon-reexec; systemctl daemon-reload")
    scenario.same_instance(first)
    with scenario.step("nothing is left in the daemon's own cgroup but the daemon"):
        alone = scenario.run(
            "cat /sys/fs/cgroup/system.slice/paasd.service/cgroup.procs; systemctl show -P MainPID paasd"
        )
        assert len(set(alone.split())) == 1, alone
    with scenario.step("the watchdog is fed"):
        scenario.run("sleep 130; test $(systemctl show -P NRestarts paasd) -le 3")


def power_steps(scenario: Scenario) -> None:
    """The plug is pulled in the middle of a push."""
    with scenario.step("power cut in the middle of a push"):
        scenario.run("systemd-run -q --unit=push " + PUSH.format(name="second"))
        time.sleep(4)
        scenario.guest.cut()
    with scenario.step("the machine comes back and serves what was acknowledged"):
        print(f"   booted in {scenario.guest.boot():.1f} s")
        scenario.wait_ready()
        scenario.run(f"for _ in $(seq 240); do {ASK} | grep -q '^hello from' && exit 0; sleep 0.5; done; {ASK}; exit 1")
    with scenario.step("the interrupted push ended, and pushing again works"):
        builds = scenario.run(
            "for _ in $(seq 240); do\n"
            "  states=$(curl -sS --unix-socket /var/lib/paasd/run/api.sock http://localhost/v3/builds"
            ' | python3 -c \'import json,sys; print(*[b["state"] for b in json.load(sys.stdin)["resources"]])\')\n'
            "  case $states in *STAGING*) sleep 0.5 ;; *) echo $states; exit 0 ;; esac\n"
            "done; echo $states; exit 1"
        )
        print(f"   builds: {builds}")
        print("   " + scenario.run(PUSH.format(name="second")).replace("\n", "\n   "))
    with scenario.step("everything stops and leaves nothing"):
        scenario.run("systemctl stop paasd; paasd stop --all")
        left = scenario.run(
            "losetup -l -n -O BACK-FILE; ip netns list; nft list tables;"
            " grep -c paasd /proc/self/mountinfo || true; find /sys/fs/cgroup/system.slice/paasd-holder.service -mindepth 1 -type d"
        )
        print("   left: " + left.replace("\n", " | "))
        assert "/var/lib/paasd" not in left, left


def main() -> int:
    """Exit status 0 when every step held."""
    cache, source = Path(sys.argv[1]), Path(sys.argv[2])
    with (
        tempfile.TemporaryDirectory(prefix="paasd-guest-") as work,
        open_guest(cache, source, Path(work) / "vm") as guest,
    ):
        print(f"booting (software emulation) in {work}", flush=True)
        scenario = Scenario(guest)
        with scenario.step("the guest boots"):
            guest.boot()
        print(f"   {scenario.run('uname -r; systemctl --version | head -1; stat -fc %T /sys/fs/cgroup').splitlines()}")
        daemon_steps(scenario)
        power_steps(scenario)
    print(f"{scenario.passed} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
