"""A real sshd of our own, on a free port of the loopback interface."""

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.ports import free_port
from tests.support.waiting import wait_until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class Sshd:
    """A running sshd.

    Args:
        listener: The process that listens now.
        port: On 127.0.0.1.
        user: Who logs in.
        key: A private key whose holder may run the forced command.
        known_hosts: The host's line of a known_hosts file.
    """

    listener: Callable[[], psutil.Process]
    port: int
    user: str
    key: Path
    known_hosts: str

    def drop_connections(self) -> None:
        """Break every connection, as a lost line does."""
        for process in self.listener().children(recursive=True):
            # Newer ones are called sshd-session.
            if process.name().startswith("sshd"):
                process.kill()

    def sessions(self) -> int:
        """Count the connections."""
        return sum(child.name().startswith("sshd") for child in self.listener().children())


def make_key(path: Path) -> Path:
    """Make a key pair without a passphrase; return the private key's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def host_line(key: Path, port: int) -> str:
    """Make the known_hosts line of a host key."""
    kind, text, *_ = key.with_suffix(".pub").read_text().split()
    return f"[127.0.0.1]:{port} {kind} {text}"


def configure(folder: Path, command: str, user: str, listens_on: str) -> Path:
    """Write keys and configuration: a key alone opens it, for one user and one command.

    Args:
        folder: For them.
        command: The only command that the key may run.
        user: The only one who may log in.
        listens_on: Address and port.

    Returns:
        The configuration's path.
    """
    key, host_key = make_key(folder / "key"), make_key(folder / "host_key")
    allowed = folder / "authorized_keys"
    public = key.with_suffix(".pub").read_text()
    allowed.write_text(f'restrict,command="{command}" {public}')
    allowed.chmod(0o600)
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"ListenAddress {listens_on}\n"
        f"HostKey {host_key}\n"
        f"AuthorizedKeysFile {allowed}\n"
        f"AllowUsers {user}\n"
        "AuthenticationMethods publickey\n"
        "PermitRootLogin forced-commands-only\n"
        "PidFile none\n"
        # The test's folder lies in one that everybody may write to.
        "StrictModes no\n"
        "UsePAM no\n"
    )
    return configuration


def connection(folder: Path, listener: Callable[[], psutil.Process], port: int, user: str) -> Sshd:
    """Describe an sshd that was configured in a folder, as the runner knows it."""
    return Sshd(listener, port, user, folder / "key", host_line(folder / "host_key", port))


@contextmanager
def sshd(folder: Path, command: str) -> Iterator[Sshd]:
    """Run an sshd with the rights of the user of the test.

    Args:
        folder: For its keys and its log.
        command: The only command that the key may run.
    """
    if os.geteuid() == 0:
        # As root it wants this folder of the package's service; it stays empty.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port, user = free_port(), getpass.getuser()
    configuration = configure(folder, command, user, f"127.0.0.1:{port}")
    log = folder / "sshd.log"
    assert SSHD is not None, "sshd is not installed"
    process = psutil.Popen([SSHD, "-D", "-f", str(configuration), "-E", str(log)])
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, "sshd listens")
        assert process.poll() is None, log.read_text()
        yield connection(folder, lambda: process, port, user)
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
