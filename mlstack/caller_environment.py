"""Choose what of the caller's environment reaches this project's processes.

A shell exports variables for many projects, and libraries read hundreds of them. So only these
pass: those that describe the user, the terminal and the container engine, proxies and certificates
for the way out of this machine, and those on make's own command line. Requests to this machine
never go through a proxy.

This module needs only the standard library: it runs before packages are installed.
"""

import os
import pwd
import re
import ssl
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine; requests to them must never go through a proxy."""

_PASSED = frozenset(
    {
        *("PATH", "LD_LIBRARY_PATH", "SHELL", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"),
        *("TERM", "COLUMNS", "LINES", "NO_COLOR"),
        # Docker's helpers read these to find the logins of registries.
        *("DBUS_SESSION_BUS_ADDRESS", "GNUPGHOME", "PASSWORD_STORE_DIR"),
        *("WSL_DISTRO_NAME", "WSL_INTEROP"),
    }
)
_PASSED_PREFIXES = ("DOCKER_", "BUILDX_")
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
_PROXIES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "PIP_PROXY")
_OTHER_PROXIES = ("all_proxy", "ALL_PROXY")
_CERTIFICATE_FILES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")
_CERTIFICATE_PATHS = ("SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_WAY_OUT = (*_PROXIES, *_OTHER_PROXIES, *_CERTIFICATE_FILES, *_CERTIFICATE_PATHS)
# httpx fails at anything else in NO_PROXY, such as [::1], and at networks of IPv6 (fd00::/8).
_HOST = re.compile(r"[\w.*:/@%<>-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Inherited:
    """What processes inherit.

    Args:
        variables: Their environment.
        ignored: A sentence for each variable that is left out because it cannot work.
    """

    variables: dict[str, str]
    ignored: tuple[str, ...]


def inherit(caller: Mapping[str, str], given: Collection[str] = ()) -> Inherited:
    """Choose from a caller's variables; those named in `given` pass too."""
    usable, ignored = _way_out(caller)
    names = _PASSED | (set(given) - set(_WAY_OUT))
    passed = {
        name: value
        for name, value in caller.items()
        if name in names or name.startswith(_PASSED_PREFIXES)
    } | usable
    passed |= {name: caller[name] for name in _TEMPORARY if _is_own_folder(caller.get(name, ""))}
    if _is_time_zone(caller.get("TZ", "")):
        passed["TZ"] = caller["TZ"]
    passed["HOME"] = _home(caller.get("HOME", ""))
    # After sudo or setpriv, the caller's own may still name the user before.
    passed["USER"] = passed["LOGNAME"] = name_of(os.getuid())
    # Paths and tables may have any letters, whatever the caller's locale.
    passed["PYTHONUTF8"] = "1"
    return Inherited(passed, tuple(ignored))


def direct_hosts(*lists: str) -> tuple[str, list[str]]:
    """Merge values of NO_PROXY and add this machine; also return entries that are no host names.

    Libraries read either `no_proxy` or `NO_PROXY`, so both get the entries of both.
    """
    entries = (entry.strip() for text in lists for entry in text.split(","))
    hosts = [entry.removeprefix("[").removesuffix("]") for entry in entries if entry]
    if "*" in hosts:  # has this meaning only if it stands alone
        return "*", []
    unclear = [host for host in hosts if not _is_clear(host)]
    usable = [host for host in hosts if host not in unclear]
    return ",".join(dict.fromkeys((*usable, *LOOPBACK))), unclear


def user_name() -> str:
    """Return the name of the user, or the number of one without a name."""
    return os.environ.get("LOGNAME") or name_of(os.getuid())


def name_of(uid: int) -> str:
    """Return the name of a user id, or its number if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _is_clear(host: str) -> bool:
    if not _HOST.fullmatch(host):
        return False
    name = host.partition("://")[2] or host
    port = name.partition(":")[2].rstrip("/")
    return not port or port.isdecimal() or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _way_out(caller: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return usable proxies and certificates, and a sentence for each one that is not."""
    usable: dict[str, str] = {}
    ignored: list[str] = []

    def take(names: Iterable[str], fault_of: Callable[[str], str | None]) -> None:
        for name in names:
            value = caller.get(name, "")
            fault = fault_of(value) if value else None
            if fault:
                ignored.append(f"{name} is ignored: {fault}")
            elif value:
                usable[name] = value

    take(_PROXIES, _proxy_fault)
    # all_proxy is for protocols without a proxy of their own: useless if HTTP and HTTPS have one.
    if not {"http_proxy", "https_proxy"} <= {name.lower() for name in usable}:
        take(_OTHER_PROXIES, _proxy_fault)
    if usable:
        hosts, unclear = direct_hosts(caller.get("no_proxy", ""), caller.get("NO_PROXY", ""))
        usable |= dict.fromkeys(("no_proxy", "NO_PROXY"), hosts)
        ignored += [f"{host} in NO_PROXY is ignored: it is not a host name" for host in unclear]
    take(_CERTIFICATE_FILES, _certificate_file_fault)
    take(_CERTIFICATE_PATHS, _certificate_path_fault)
    return usable, ignored


def _proxy_fault(value: str) -> str | None:
    # Proxies may contain passwords, so no message repeats one.
    try:
        proxy = urlsplit(value if "://" in value else f"http://{value}")
        is_complete = bool(proxy.hostname) and proxy.port != 0
    except ValueError:
        is_complete = False
    if not is_complete or not value.isprintable() or " " in value:
        return "it must look like http://host:port"
    if proxy.scheme not in ("http", "https"):
        return (
            f"a proxy that speaks {proxy.scheme} cannot be used here; "
            "name one that speaks HTTP in HTTPS_PROXY"
        )
    return None


def _certificate_path_fault(value: str) -> str | None:
    is_folder = os.access(value, os.R_OK | os.X_OK) and Path(value).is_dir()
    return None if is_folder else _certificate_file_fault(value)


def _certificate_file_fault(value: str) -> str | None:
    if not os.access(value, os.R_OK):
        return f"{value} does not exist, or you may not read it"
    try:
        # Not the default context, which fails if the caller's SSLKEYLOGFILE cannot be written.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except OSError:  # an SSLError is one, too
        return f"{value} has no certificate that can be read"
    return None


def _home(said: str) -> str:
    """Return the first home that this user may write to: as said, as registered, or one of ours."""
    try:
        registered = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        registered = ""
    own = str(Path(sys.prefix) / "home")
    return next(filter(_is_own_folder, (said, registered)), own)


def _is_own_folder(value: str) -> bool:
    # In this order, because `is_dir` raises PermissionError inside of other users' folders.
    return value.startswith("/") and os.access(value, os.W_OK | os.X_OK) and Path(value).is_dir()


def _is_time_zone(value: str) -> bool:
    try:
        return ZoneInfo(value).key == value
    except (ValueError, OSError, KeyError):  # for no key at all, a folder, and an unknown key
        return False
