import dotenv
import flask

app = flask.Flask(__name__)


@app.get("/")
def home() -> str:
    try:
        import iniconfig
    except ImportError:
        return f"{dotenv.__name__} without development tools"
    return f"{iniconfig.__name__} should not be here"
