"""A counter of visits that says which instance counted. It keeps its number in memory, like many a small service."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Counter(BaseHTTPRequestHandler):
    visits = 0

    def do_GET(self) -> None:
        Counter.visits += 1
        text = f"visit {Counter.visits} at instance {os.environ['INSTANCE_INDEX']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Counter).serve_forever()
