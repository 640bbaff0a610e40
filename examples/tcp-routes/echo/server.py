"""Sends back every line that it is sent, over plain TCP: an app behind a route with a port."""

import os
import socketserver


class Echo(socketserver.StreamRequestHandler):
    """One connection."""

    def handle(self) -> None:
        self.wfile.write(f"instance {os.environ['CF_INSTANCE_INDEX']}\n".encode())
        for line in self.rfile:
            self.wfile.write(line)


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection."""

    daemon_threads = True


if __name__ == "__main__":
    with Server(("0.0.0.0", int(os.environ["PORT"])), Echo) as server:
        server.serve_forever()
