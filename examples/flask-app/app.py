"""A small Flask app: a page, a JSON door, and what the platform told it."""

import json
import os

from flask import Flask, jsonify, render_template_string, request

app = Flask(__name__)

PAGE = """<!doctype html>
<title>flask-app</title>
<h1>Hello from {{ name }}</h1>
<p>Instance {{ index }}, asked by {{ address }} over {{ scheme }}.</p>
"""


@app.get("/")
def home():
    application = json.loads(os.environ.get("VCAP_APPLICATION", "{}"))
    return render_template_string(
        PAGE,
        name=application.get("application_name", "flask-app"),
        index=os.environ.get("CF_INSTANCE_INDEX", "0"),
        address=request.headers.get("X-Forwarded-For", request.remote_addr),
        scheme=request.headers.get("X-Forwarded-Proto", request.scheme),
    )


@app.get("/health")
def health():
    return jsonify(status="up", greeting=os.environ.get("GREETING", "hello"))


@app.post("/echo")
def echo():
    return request.get_data(), 200, {"Content-Type": request.content_type or "application/octet-stream"}
