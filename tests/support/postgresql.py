"""A real PostgreSQL on a free port of the loopback interface, where it is installed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.support.ports import free_port
from tests.support.waiting import wait_until

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
PASSWORD = "s3cret"


@contextmanager
def postgresql() -> Iterator[str]:
    """Run a server until the block ends; yield `USER:PASSWORD@HOST:PORT`."""
    if PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # Another user cannot reach pytest's folders.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        yield from _serve(PROGRAMS, Path(folder))


def _serve(programs: Path, folder: Path) -> Iterator[str]:
    # It refuses to run as root; Debian's package brings a user of its own.
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    become = ("runuser", "-u", user, "--") if os.getuid() == 0 else ()
    (folder / "password").write_text(PASSWORD)
    if become:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    data, port = folder / "data", free_port()
    initdb = ("-D", data, "-U", "mlstack", "--auth=scram-sha-256", f"--pwfile={folder}/password")
    subprocess.run([*become, programs / "initdb", *initdb], check=True, capture_output=True)
    options = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
    server = subprocess.Popen(
        [
            *(*become, programs / "postgres", "-D", data, "-p", str(port)),
            *(word for option in options for word in ("-c", option)),
        ],
        stderr=subprocess.DEVNULL,
    )
    address = f"mlstack:{PASSWORD}@127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(address), "PostgreSQL answers")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def run(address: str, command: str) -> None:
    """Run a command such as CREATE DATABASE."""
    with psycopg.connect(f"postgresql://{address}/postgres", autocommit=True) as connection:
        connection.execute(command.encode())


def _answers(address: str) -> bool:
    try:
        run(address, "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
