"""The public half: asks the private one, and says so when it may not."""

import http.server
import os
import urllib.request

STOCK = os.environ.get("STOCK_URL", "http://stock.apps.internal:8080/")


class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            with urllib.request.urlopen(STOCK, timeout=3) as answer:
                status, body = 200, b"In stock: " + answer.read()
        except OSError as error:
            status, body = 503, f"No way to the stock: {error}\n".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Front).serve_forever()
