import flask

app = flask.Flask(__name__)


@app.get("/")
def home() -> str:
    try:
        import iniconfig
    except ImportError:
        return "flask without development tools"
    return f"{iniconfig.__name__} should not be here"
