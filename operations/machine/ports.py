"""Tell whether a port is free, and who holds it."""

import socket

import psutil


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen on this port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: old connections may linger.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def next_free(host: str, port: int) -> int | None:
    """Return the first free port above a taken one; None if there is none."""
    return next((higher for higher in range(port + 1, 65536) if is_free(host, higher)), None)


def holder(port: int) -> str:
    """Describe who listens on a port, as far as this user may see."""
    process = holding_process(port)
    if process is None:
        return "another user's process, or a container"
    try:
        return f"process {process.pid} ({process.name()})"
    except psutil.NoSuchProcess:
        return f"process {process.pid}, which has just ended"


def holding_process(port: int) -> psutil.Process | None:
    """Return the process listening on a port; None if there is none or it is hidden."""
    pid = listening().get(port)
    try:
        return psutil.Process(pid) if pid else None
    except psutil.NoSuchProcess:  # it ended after the listing
        return None


def listening() -> dict[int, int | None]:
    """Return the ports that processes listen on, with their pids; None if the pid is hidden."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS reveals this only to root
        return {}
    return {
        each.laddr.port: each.pid
        for each in connections
        if each.status == psutil.CONN_LISTEN and each.laddr
    }
