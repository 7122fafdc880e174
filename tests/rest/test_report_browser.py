"""The report browser serves finished pages and nothing else."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import requests

from mlstack.model.card_names import CARDS, card_name
from mlstack.settings import ROOT, Settings
from operations.embedded import processes
from operations.embedded.report_browser import EMPTY, command, nginx
from operations.machine import ports
from tests.support.ports import free_port
from tests.support.waiting import wait_until

NAME = "20261125T093000Z-credit_card_churn.html"
CARD = card_name("0123456789abcdef" * 2)


@pytest.fixture(params=["nginx", "gunicorn"])
def browser(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a running report browser."""
    binary = nginx() if request.param == "nginx" else None
    if request.param == "nginx" and binary is None:
        pytest.skip("no nginx is installed here")
    folder = tmp_path / "a folder"
    folder.mkdir()
    settings = Settings(reports_dir=folder, reports_port=free_port())
    process = subprocess.Popen(
        command(settings, tmp_path / "scratch", binary),
        cwd=ROOT,
        env={
            **os.environ,
            "REPORTS_DIR": str(folder),
            "REPORTS_PORT": str(settings.reports_port),
        },
    )
    address = f"http://127.0.0.1:{settings.reports_port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return requests.get(address, timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, "the browser answers")
        yield address, folder
    finally:
        process.terminate()
        process.wait(20)


def test_index_exists_before_the_first_report(browser: tuple[str, Path]) -> None:
    """It says what to do."""
    address, folder = browser
    empty = requests.get(address, timeout=5)
    assert "There is no report yet" in empty.text
    assert empty.content == EMPTY.read_bytes()
    assert requests.get(f"{address}/{CARDS}", timeout=5).status_code == 404
    (folder / CARDS).write_text("the first model")
    assert requests.get(address, timeout=5).text == "the first model"
    (folder / "index.html").write_text("the first report")
    assert requests.get(address, timeout=5).text == "the first report"
    assert requests.get(f"{address}/index.html", timeout=5).text == "the first report"


def test_index_is_not_cached_and_loads_nothing_else(
    browser: tuple[str, Path],
) -> None:
    """Its headers say so."""
    address, folder = browser
    (folder / NAME).write_text("a report")
    (folder / CARD).write_text("a model card")
    (folder / CARDS).write_text("all model cards")
    lists = (("/", "no-store"), (f"/{CARDS}", "no-store"))
    for path, cached in (*lists, (f"/{NAME}", "no-cache"), (f"/{CARD}", "no-cache")):
        answer = requests.get(f"{address}{path}", timeout=5)
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == cached
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        f"/{NAME}.123.new",
        "/notes.txt",
        "/notes.html",
        "/inner/",
        f"/inner/{NAME}",
        "/.hidden.html",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/..%2fsecret.html",
        "/20990101T000000Z-link.html",
        "/model-card-1.html",
        f"/x{CARD}",
        f"/{CARD}.123.new",
        f"/{card_name('f' * 32)}",
    ],
)
def test_only_whole_reports_are_served(browser: tuple[str, Path], path: str) -> None:
    """Not the half-written, not other files, not folders, and nothing outside of the folder."""
    address, folder = browser
    (folder / "inner").mkdir()
    names = (f"{NAME}.123.new", "notes.txt", "notes.html", f"inner/{NAME}", ".hidden.html")
    for name in (*names, "model-card-1.html", f"x{CARD}", f"{CARD}.123.new"):
        (folder / name).write_text("secret")
    (folder.parent / "secret.html").write_text("secret")
    for name in ("20990101T000000Z-link.html", card_name("f" * 32)):
        (folder / name).symlink_to(folder.parent / "secret.html")
    answer = _get_as_it_stands(int(address.rpartition(":")[2]), path)
    assert answer.split()[1] in (b"400", b"403", b"404"), answer
    assert b"secret" not in answer


def _get_as_it_stands(port: int, path: str) -> bytes:
    """Read the whole answer; an HTTP client would normalize the path first."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode()
        )
        with connection.makefile("rb") as answer:
            return answer.read()


def test_stalled_clients_do_not_stop_the_others(browser: tuple[str, Path]) -> None:
    """More clients than threads stop in a body, in a head, or never say a word."""
    address, _ = browser
    head = b"POST / HTTP/1.1\r\nHost: x\r\n"
    begun = (head + b"Content-Length: 100\r\n\r\nx", head, b"")
    port = int(address.rpartition(":")[2])
    with ExitStack() as stack:
        for i in range(24):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(begun[i % 3])
        assert requests.get(address, timeout=30).ok


@pytest.mark.skipif(nginx() is None, reason="no nginx is installed here")
def test_nginx_is_known_as_ours_and_ends_whole(tmp_path: Path) -> None:
    """Supervision and doctor tell what is theirs by a variable in its environment."""
    settings = Settings(reports_dir=tmp_path, reports_port=free_port())
    line = command(settings, tmp_path / "scratch", nginx())
    stack = tmp_path / "stack"
    process = subprocess.Popen(line, env={**os.environ, **processes.marker(stack, "nginx")})
    try:
        wait_until(lambda: not ports.is_free("127.0.0.1", settings.reports_port), "it listens")
        marked = processes.find_by_service(stack)["nginx"]
        assert [each.pid for each in marked] == [process.pid]
        assert psutil.Process(process.pid).children() == []
    finally:
        process.kill()
        process.wait(20)


def test_nothing_can_be_written(browser: tuple[str, Path]) -> None:
    """Every method but GET and HEAD is refused."""
    address, folder = browser
    assert requests.put(f"{address}/{NAME}", data=b"x", timeout=5).status_code == 405
    assert requests.delete(f"{address}/", timeout=5).status_code == 405
    assert list(folder.iterdir()) == []


def test_browser_starts_without_large_packages() -> None:
    """They would make it wait for seconds, and take 100 MiB."""
    code = "import operations.embedded.report_browser, sys; print({*sys.modules} & {*sys.argv})"
    started = [sys.executable, "-c", code, "numpy", "pandas", "sklearn"]
    done = subprocess.run(started, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
