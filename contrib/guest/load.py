"""Requests at a steady rate against one app, until told to stop; prints how many failed. Runs inside the guest."""

import http.client
import signal
import sys
import time

RATE_PER_S = 20.0


def main() -> None:
    """`load.py PORT HOST`: every answer but a 200 counts as failed; the first few reasons are kept."""
    port, host = int(sys.argv[1]), sys.argv[2]
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    sent = failed = 0
    reasons: list[str] = []
    due = time.monotonic()
    while running:
        sent += 1
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("GET", "/", headers={"Host": host})
            status = connection.getresponse().status
            connection.close()
            problem = "" if status == 200 else f"status {status}"
        except OSError as error:
            problem = repr(error)
        if problem:
            failed += 1
            reasons.append(f"{time.strftime('%H:%M:%S')} {problem}")
        due += 1 / RATE_PER_S
        time.sleep(max(0.0, due - time.monotonic()))
    print(f"sent {sent} failed {failed} {reasons[:5]}")


main()
