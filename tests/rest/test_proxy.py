"""The proxy in front of everything: a real Nginx with the project's own configuration."""

import base64
import json
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from getpass import getuser
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template

import pytest
import yaml
from playwright.sync_api import Browser, expect

from mlstack.settings import ROOT
from tests.support.api_server import ApiServer, MonitorService
from tests.support.browser import needs_chromium
from tests.support.customers import contract_named
from tests.support.models import RUN_ID, deploy_model
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)")

NAME = "stack.example.org"
PASSWORD = "a-long-enough-one"
LOGIN = {"Authorization": f"Basic {base64.b64encode(f'ana:{PASSWORD}'.encode()).decode()}"}
BEHIND = ("api", "grafana", "mlflow", "prefect", "reports")


class Behind(BaseHTTPRequestHandler):
    """A server behind the proxy that answers with what it was asked."""

    begun: threading.Event

    def do_GET(self) -> None:
        self.begun.set()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        told = {"path": self.path, "headers": dict(self.headers), "length": len(body)}
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - http.server finds it by this name

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Proxy:
    """A running proxy."""

    http: int
    https: int
    folder: Path
    begun: threading.Event
    """Whether a server behind it was asked anything yet."""

    @contextmanager
    def connect(self, name: str) -> Iterator[HTTPSConnection]:
        """Connect to one of its names and check its certificate."""
        trust = ssl.create_default_context(cafile=self.folder / ".secrets/tls/fullchain.pem")
        connection = HTTPSConnection(name, self.https, context=trust, timeout=10)
        with closing(connection):
            plain = socket.create_connection(("127.0.0.1", self.https), timeout=10)
            connection.sock = trust.wrap_socket(plain, server_hostname=name)
            yield connection

    def ask(
        self, name: str, path: str = "/", method: str = "GET", **headers: str
    ) -> tuple[int, bytes]:
        """Ask it; return status and body. What is posted is `{}`."""
        body = b"{}" if method == "POST" else None
        with self.connect(name) as connection:
            connection.request(method, path, body, {"Host": name, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    scripts = folder / "cloud/nginx-tls"
    shutil.copytree(ROOT / "cloud/nginx-tls", scripts)
    subprocess.run([scripts / "certificate.sh", NAME], check=True)
    subprocess.run([scripts / "user.sh", "ana"], input=PASSWORD, text=True, check=True)
    (folder / "acme/.well-known/acme-challenge").mkdir(parents=True)
    (folder / "acme/.well-known/acme-challenge/token").write_text("proof")
    begun = threading.Event()
    handler = type("Handler", (Behind,), {"begun": begun})
    http, https = free_ports(2)
    with ExitStack() as stack:
        values = {
            "PUBLIC_HOST": NAME,
            "PROXY_HTTP_PORT": f"127.0.0.1:{http}",
            "PROXY_HTTPS_PORT": f"127.0.0.1:{https}",
            "PROXY_RESOLVER": "127.0.0.1",
            "PROXY_TLS": str(folder / ".secrets/tls"),
            "PROXY_ACME": str(folder / "acme"),
            "PROXY_USERS": str(folder / ".secrets/proxy/users"),
        }
        for name in BEHIND:
            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            values[f"PROXY_{name.upper()}"] = f"127.0.0.1:{server.server_port}"
        values["PROXY_TMP"] = str(folder)
        template = (ROOT / "cloud/nginx-tls/nginx.conf.template").read_text()
        (folder / "nginx.conf").write_text(Template(template).safe_substitute(values))
        # All processes run as one user, as in the container.
        directives = f"daemon off; user {getuser()};"
        assert NGINX is not None
        process = subprocess.Popen([NGINX, "-c", folder / "nginx.conf", "-g", directives])
        try:
            wait_until(lambda: _listens(https) or process.poll() is not None, "Nginx listens")
            assert process.poll() is None, "it says above why not"
            yield Proxy(http, https, folder, begun)
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _plain(proxy: Proxy, path: str) -> str:
    with socket.create_connection(("127.0.0.1", proxy.http)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()


def test_http_redirects_to_https(proxy: Proxy) -> None:
    """Path and query stay."""
    answer = _plain(proxy, "/docs?x=1")
    assert " 301 " in answer.splitlines()[0]
    assert f"Location: https://{NAME}/docs?x=1" in answer


def test_certificate_proof_is_served_over_http(proxy: Proxy) -> None:
    """The certificate authority asks before there is a certificate."""
    assert _plain(proxy, "/.well-known/acme-challenge/token").endswith("proof")


def test_api_needs_no_login_of_the_proxy(proxy: Proxy) -> None:
    """Its own Authorization header reaches it."""
    status, body = proxy.ask(NAME, "/feedback", "POST", Authorization="Bearer token")
    told = json.loads(body)
    assert (status, told["path"], told["length"]) == (200, "/feedback", 2)
    assert told["headers"]["Authorization"] == "Bearer token"
    assert told["headers"]["Host"] == NAME
    assert told["headers"]["X-Forwarded-Proto"] == "https"
    assert told["headers"]["X-Forwarded-For"] == "127.0.0.1"


def test_metrics_are_not_served(proxy: Proxy) -> None:
    """The server's metrics are for its machine alone."""
    assert proxy.ask(NAME, "/metrics")[0] == 404


@pytest.mark.parametrize("service", ["mlflow", "prefect", "reports"])
def test_pages_without_a_login_get_one(proxy: Proxy, service: str) -> None:
    """A wrong login gets nobody in, and no service behind sees a right one."""
    name = f"{service}.{NAME}"
    assert proxy.ask(name)[0] == 401
    wrong = base64.b64encode(b"ana:wrong").decode()
    assert proxy.ask(name, Authorization=f"Basic {wrong}")[0] == 401
    status, body = proxy.ask(name, "/", "GET", **LOGIN)
    assert status == 200
    assert not json.loads(body)["headers"].get("Authorization"), "nobody behind needs to know it"


def test_user_added_while_it_runs_gets_in(proxy: Proxy) -> None:
    """No restart is needed."""
    login = base64.b64encode(f"bo:{PASSWORD}".encode()).decode()
    name = f"reports.{NAME}"
    assert proxy.ask(name, Authorization=f"Basic {login}")[0] == 401
    script = proxy.folder / "cloud/nginx-tls/user.sh"
    subprocess.run([script, "bo"], input=PASSWORD, text=True, check=True)
    assert proxy.ask(name, Authorization=f"Basic {login}")[0] == 200
    assert proxy.ask(name, "/", "GET", **LOGIN)[0] == 200


def test_proxy_mounts_the_folder_of_its_user_list() -> None:
    """A file alone that is mounted stays the one that it was, whatever takes its name."""
    compose = yaml.safe_load((ROOT / "docker-compose-cloud.yml").read_text(encoding="utf-8"))
    service = compose["services"]["proxy"]
    folder, _, name = service["environment"]["PROXY_USERS"].rpartition("/")
    mounted = {
        each["target"]: each["source"] for each in service["volumes"] if isinstance(each, dict)
    }
    assert f"{mounted[folder]}/{name}" == "./.secrets/proxy/users"
    assert "secrets" not in service


def test_grafana_has_its_own_login(proxy: Proxy) -> None:
    """The proxy asks for none in front of it, and lets its WebSocket through."""
    status, body = proxy.ask(f"grafana.{NAME}", Upgrade="websocket", Connection="Upgrade")
    assert status == 200
    assert json.loads(body)["headers"]["Upgrade"] == "websocket"


def test_mlflow_gets_a_host_name_that_it_accepts(proxy: Proxy) -> None:
    """It gets its own Host header, and no Origin."""
    origin = f"https://mlflow.{NAME}"
    status, body = proxy.ask(f"mlflow.{NAME}", "/ajax-api", "POST", Origin=origin, **LOGIN)
    assert status == 200
    headers = json.loads(body)["headers"]
    assert headers["Host"] == "mlflow_server:5051"
    assert "Origin" not in headers


@pytest.mark.parametrize("service", ["mlflow", "prefect"])
@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", f"http://mlflow.{NAME}"])
def test_page_of_another_site_cannot_use_the_login(proxy: Proxy, service: str, origin: str) -> None:
    """A browser that remembers a login sends it for other sites' pages too."""
    assert proxy.ask(f"{service}.{NAME}", "/x", "POST", Origin=origin, **LOGIN)[0] == 403


def test_unknown_name_gets_no_handshake(proxy: Proxy) -> None:
    """Whoever asks for another host gets no certificate."""
    with pytest.raises(ssl.SSLError), proxy.connect("elsewhere.example"):
        pass


def test_slow_client_holds_up_the_proxy_alone(proxy: Proxy) -> None:
    """A server is asked when the whole request is there, and not before."""
    proxy.begun.clear()
    with proxy.connect(NAME) as connection:
        connection.putrequest("POST", "/predict", skip_host=True)
        connection.putheader("Host", NAME)
        connection.putheader("Content-Length", "6")
        connection.endheaders(b"abc")
        assert not proxy.begun.wait(0.5)
        connection.send(b"def")
        assert json.loads(connection.getresponse().read())["length"] == 6
    assert proxy.begun.is_set()


PREFIXED = """
daemon off; pid {folder}/nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""


@contextmanager
def prefixed(folder: Path, **ports: int) -> Iterator[int]:
    """Run Nginx with each service under a prefix of its name; yield its port."""
    (port,) = free_ports(1)
    locations = "\n".join(
        f"location /{name}/ {{ proxy_pass http://127.0.0.1:{each}/; }}"
        for name, each in ports.items()
    )
    text = PREFIXED.format(folder=folder, port=port, locations=locations)
    (folder / "nginx.conf").write_text(text)
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-e", "stderr", "-c", folder / "nginx.conf"])
    try:
        wait_until(lambda: _listens(port), "Nginx listens")
        yield port
    finally:
        process.terminate()
        process.wait()


@needs_chromium
def test_pages_work_under_a_prefix(browser: Browser, tmp_path: Path) -> None:
    """Form, API page and monitoring page load all they need, and predict, below /churn/."""
    contract = contract_named("credit_card_churn")
    deploy_model(tmp_path, contract)
    nowhere = {"MONGO_URI": f"mongodb://127.0.0.1:{free_ports(1)[0]}"}
    with (
        ApiServer(tmp_path, API_WORKERS="1", **nowhere) as api,
        MonitorService(tmp_path, **nowhere) as monitor,
        prefixed(tmp_path, churn=api.port, monitoring=monitor.port) as port,
        browser.new_context(viewport={"width": 1280, "height": 900}) as context,
    ):
        page, failed = context.new_page(), list[str]()
        page.on("response", lambda got: failed.append(got.url) if got.status >= 400 else None)
        page.goto(f"http://127.0.0.1:{port}/churn/")
        page.get_by_role("button", name="Predict").click()
        expect(page.locator("#run-id")).to_have_text(RUN_ID)
        page.screenshot(path=tmp_path / "form.png", full_page=True)
        page.get_by_role("link", name="API documentation").click()
        operation = page.locator("#operations-predictions-predict")
        operation.locator("button.opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        expect(operation.locator(".live-responses-table")).to_contain_text(contract.answer)
        expect(operation.locator(".request-url")).to_contain_text(f":{port}/churn/predict")
        page.screenshot(path=tmp_path / "docs.png", full_page=True)
        page.get_by_role("link", name="Try the model").click()
        expect(page).to_have_url(f"http://127.0.0.1:{port}/churn/")
        page.goto(f"http://127.0.0.1:{port}/monitoring/")
        page.get_by_role("link", name="Monitoring").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Monitoring of")
        font = page.evaluate("getComputedStyle(document.body).fontFamily")
        assert "system-ui" in font, "its style sheet is loaded"
        page.get_by_role("link", name="Metrics").click()
        expect(page).to_have_url(f"http://127.0.0.1:{port}/monitoring/metrics")
        assert failed == []


class TestCertificates:
    @pytest.fixture
    def scripts(self, tmp_path: Path) -> Path:
        copied = tmp_path / "cloud/nginx-tls"
        shutil.copytree(ROOT / "cloud/nginx-tls", copied)
        return copied

    def test_certificate_key_is_readable_by_its_owner_alone(
        self, scripts: Path, tmp_path: Path
    ) -> None:
        """Certificate and key are for their owner alone."""
        subprocess.run([scripts / "certificate.sh", NAME], check=True)
        for name in ("fullchain.pem", "privkey.pem"):
            assert (tmp_path / ".secrets/tls" / name).stat().st_mode & 0o777 == 0o600

    def test_key_of_another_certificate_is_refused(self, scripts: Path, tmp_path: Path) -> None:
        """The pair in use stays."""
        tls = tmp_path / ".secrets/tls"
        subprocess.run([scripts / "certificate.sh", NAME], check=True)
        other = tls.rename(tmp_path / "other")
        subprocess.run([scripts / "certificate.sh", NAME], check=True)
        before = (tls / "privkey.pem").read_text()
        given = [scripts / "certificate.sh", tls / "fullchain.pem", other / "privkey.pem"]
        refused = subprocess.run(given, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "do not belong together" in refused.stderr
        assert (tls / "privkey.pem").read_text() == before

    def test_new_password_replaces_the_old_one(self, scripts: Path, tmp_path: Path) -> None:
        """The old one no longer gets in."""
        users = tmp_path / ".secrets/proxy/users"
        for name, password in (("ana", PASSWORD), ("bo", PASSWORD), ("ana", PASSWORD * 2)):
            subprocess.run([scripts / "user.sh", name], input=password, text=True, check=True)
        assert _names(users) == ["bo", "ana"]
        assert users.stat().st_mode & 0o777 == 0o600
        assert users.parent.stat().st_mode & 0o777 == 0o700
        assert list(users.parent.iterdir()) == [users]
        short = subprocess.run([scripts / "user.sh", "ana"], input="short", text=True, check=False)
        assert short.returncode == 1

    def test_user_names_are_matched_whole(self, scripts: Path, tmp_path: Path) -> None:
        """A name that differs in one letter, in case or in a dot is another user."""
        names = ["j-doe", "jxdoe", "1", "j.doe", "01", "J.doe"]
        for name in [*names, "j.doe", "1"]:
            subprocess.run([scripts / "user.sh", name], input=PASSWORD, text=True, check=True)
        users = tmp_path / ".secrets/proxy/users"
        assert sorted(_names(users)) == sorted(names)


def _names(users: Path) -> list[str]:
    return [line.partition(":")[0] for line in users.read_text().splitlines()]
