"""The smallest app that says which instance answers, and prints what it is asked for."""

_SERVER = """
import http.server, os
class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("instance " + os.environ["INSTANCE_INDEX"]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, form, *words):
        print("asked for", self.path, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Hello).serve_forever()
"""
HELLO: dict[str, str | bytes] = {"server.py": _SERVER, "Procfile": "web: python3 server.py\n"}
