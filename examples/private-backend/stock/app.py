"""Answers other apps of the platform alone: it has a name inside, and none outside."""

import http.server
import json
import os

STOCK = {"tea": 12, "coffee": 3}


class Stock(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(STOCK).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Stock).serve_forever()
