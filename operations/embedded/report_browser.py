"""Serve the report pages with nginx or, without it, gunicorn and Flask.

Both serve the same pages and headers, those of `reporting/nginx/`.
"""

import os
import re
import shutil
import sys
from pathlib import Path

from flask import Flask, Response, abort, send_from_directory

from mlstack import command_line
from mlstack.files import write_atomically
from mlstack.model.card_names import CARD, CARDS
from mlstack.settings import ROOT, Settings
from mlstack.web.flask_bridge import FlaskBridge
from operations.embedded.layout import STACK
from reporting.report import PAGE

TEMPLATE = ROOT / "reporting" / "nginx" / "default.conf.template"
EMPTY = ROOT / "reporting" / "nginx" / "empty.html"
_HEADER = re.compile(r'^\s*add_header (\S+) "(.*)" always;$', re.MULTILINE)

# Debian installs nginx here, which is not on every user's PATH.
_SBIN = "/usr/sbin:/usr/local/sbin"

_MAIN = """\
daemon off;
# One process is enough. A killed master would leave workers behind, and workers overwrite their
# environment, by which supervision recognizes its processes.
master_process off;
pid "{scratch}/nginx.pid";
error_log stderr;

events {{
    worker_connections 256;
}}

http {{
    default_type application/octet-stream;
    types {{
        text/html html;
    }}
    access_log off;
    sendfile on;
    client_max_body_size 1k;
    client_body_temp_path "{scratch}/body";
    proxy_temp_path "{scratch}/proxy";
    fastcgi_temp_path "{scratch}/fastcgi";
    uwsgi_temp_path "{scratch}/uwsgi";
    scgi_temp_path "{scratch}/scgi";

{server}
}}
"""


def nginx() -> str | None:
    """Return the path of nginx; None if it is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path=_SBIN)


def command(settings: Settings, scratch: Path, binary: str | None) -> list[str]:
    """Return the server's command line; without an nginx `binary`, gunicorn's.

    nginx keeps its own files in `scratch`, which is created if missing.
    """
    address = f"{settings.bind_address}:{settings.reports_port}"
    if binary is None:
        gunicorn = [sys.executable, "-m", "gunicorn", "--bind", address]
        worker = ["--worker-class", "mlstack.web.asgi_worker.Worker"]
        return [*gunicorn, *worker, "operations.embedded.report_browser:create_server()"]
    scratch.mkdir(parents=True, exist_ok=True)
    server = TEMPLATE.read_text(encoding="utf-8")
    for name, value in {
        "REPORTS_LISTEN": address,
        "REPORTS_FOLDER": str(settings.reports_path),
        "REPORTS_EMPTY_FOLDER": str(EMPTY.parent),
    }.items():
        server = server.replace(f"${{{name}}}", value)
    text = _MAIN.format(scratch=scratch, server=server)
    write_atomically(scratch / "nginx.conf", text.encode())
    return [binary, "-e", "stderr", "-p", str(scratch), "-c", str(scratch / "nginx.conf")]


def create_app() -> Flask:
    """Create the Flask application for machines without nginx."""
    settings = Settings.load()
    app = Flask(__name__, static_folder=None)
    # A redirect to the path with one slash would lose the prefix of a proxy.
    app.url_map.merge_slashes = False
    headers = dict(_HEADER.findall(TEMPLATE.read_text(encoding="utf-8")))

    @app.after_request
    def _add_headers(answer: Response) -> Response:
        answer.headers.update(headers)
        return answer

    @app.get("/")
    @app.get("/index.html")
    def _index() -> Response:
        pages = (settings.reports_path / "index.html", settings.reports_path / CARDS, EMPTY)
        page = next(page for page in pages if page.exists())
        answer = send_from_directory(page.parent, page.name)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.get("/<name>")
    def _page(name: str) -> Response:
        known = name == CARDS or PAGE.fullmatch(name) or CARD.fullmatch(name)
        if not known or (settings.reports_path / name).is_symlink():
            abort(404)
        answer = send_from_directory(settings.reports_path, name)
        if name == CARDS:
            answer.headers["Cache-Control"] = "no-store"
        return answer

    return app


def create_server() -> FlaskBridge:
    """Create what gunicorn runs; no page takes a body."""
    return FlaskBridge(create_app(), threads=8, max_body=lambda _: 0)


def main() -> None:
    """Become the server."""
    settings = Settings.load()
    settings.reports_path.mkdir(parents=True, exist_ok=True)
    binary = nginx()
    if binary is None:
        command_line.say("nginx is not installed: gunicorn serves the pages")
    line = command(settings, STACK / "nginx", binary)
    os.execv(line[0], line)  # noqa: S606 - no shell


if __name__ == "__main__":
    command_line.run(main)
