"""What of the caller's environment reaches the stack's processes."""

import os
import pwd
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import certifi
import httpx
import pytest
import requests

from mlstack.caller_environment import inherit, user_name
from mlstack.settings import ROOT
from tests.support.hostile_environment import STEERING

PROXY = "http://127.0.0.1:3128"


def _set(monkeypatch: pytest.MonkeyPatch, caller: Mapping[str, str]) -> None:
    monkeypatch.setattr(os, "environ", inherit(caller).variables)


@pytest.mark.parametrize("name", sorted(STEERING))
def test_foreign_variable_does_not_pass(name: str) -> None:
    """Neither libraries nor this project's settings are steered by what a shell exports."""
    assert inherit({name: STEERING[name]}).variables.get(name) != STEERING[name]


def test_variables_given_to_make_pass() -> None:
    caller = {"API_PORT": "9700", "COMPOSE_PROJECT_NAME": "mine", "TRAIN_TRIALS": "5"}
    passed = inherit(caller, ["API_PORT", "COMPOSE_PROJECT_NAME"]).variables
    assert (passed["API_PORT"], passed["COMPOSE_PROJECT_NAME"]) == ("9700", "mine")
    assert "TRAIN_TRIALS" not in passed


def test_engine_and_path_keep_their_purpose() -> None:
    caller = {
        "DOCKER_HOST": "tcp://engine:2375",
        "DOCKER_CONFIG": "/d",
        "PATH": "/bin",
        "TERM": "x",
    }
    assert caller.items() <= inherit(caller).variables.items()


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_proxy_is_not_asked_for_this_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the libraries asks it for the Internet only."""
    _set(monkeypatch, {name: PROXY, "no_proxy": "a.example", "NO_PROXY": "b.example"})
    assert os.environ[name] == PROXY
    for host in ("127.0.0.1", "localhost", "feature-store.localhost", "a.example", "b.example"):
        assert urllib.request.proxy_bypass(host), host
        assert requests.utils.get_environ_proxies(f"http://{host}:5051") == {}, host
    assert requests.utils.get_environ_proxies("https://data.example")
    with httpx.Client() as client:
        local = client._transport_for_url(httpx.URL("http://127.0.0.1:4200"))
        assert local is client._transport


@pytest.mark.parametrize(
    "no_proxy",
    [
        *("[::1]", "[::1]:80", "é.example", "*", ".a, ,b", "10.0.0.0/8"),
        *("fd00::/8", "::1/128", "fe80::1", "127.0.0.1:x", "a:80", "http://a:80/"),
    ],
)
def test_any_no_proxy_can_be_used(no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx, and so Prefect, fails at some values that other programs read."""
    _set(monkeypatch, {"http_proxy": PROXY, "no_proxy": no_proxy})
    with httpx.Client():
        assert urllib.request.proxy_bypass("127.0.0.1")


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://127.0.0.1:1080",
        "socks5h://u:secret@h:1",
        "http://h:abc",
        "http://",
        "http://a b:1",
    ],
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_unusable_proxy_is_named_without_its_password(
    name: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no client fails at it."""
    (sentence,) = inherit({name: proxy}).ignored
    assert sentence.startswith(f"{name} is ignored: ")
    assert "secret" not in sentence
    _set(monkeypatch, {name: proxy})
    with httpx.Client() as client:
        assert client._mounts == {}


def test_socks_proxy_beside_http_proxies_needs_no_word() -> None:
    caller = {"http_proxy": PROXY, "HTTPS_PROXY": PROXY, "all_proxy": "socks5://127.0.0.1:1080"}
    assert inherit(caller).ignored == ()


def test_certificates_pass(tmp_path: Path) -> None:
    bundle = certifi.where()
    caller = {
        "SSL_CERT_FILE": bundle,
        "AWS_CA_BUNDLE": bundle,
        "REQUESTS_CA_BUNDLE": str(tmp_path),
        "SSL_CERT_DIR": str(tmp_path),
    }
    inherited = inherit(caller)
    assert caller.items() <= inherited.variables.items()
    assert inherited.ignored == ()


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----"])
@pytest.mark.parametrize(
    "name",
    ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"],
)
def test_unusable_certificates_are_named(
    name: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no client fails at them."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    (sentence,) = inherit({name: str(file)}).ignored
    assert sentence.startswith(f"{name} is ignored: {file} ")
    _set(monkeypatch, {name: str(file)})
    with httpx.Client():
        ssl.create_default_context()


def test_user_is_the_one_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the one before sudo or setpriv; a user id without a name is its number."""
    monkeypatch.setattr(os, "getuid", lambda: 0)
    root = pwd.getpwuid(0).pw_name
    assert inherit({"LOGNAME": "ana", "USER": "ana"}).variables["LOGNAME"] == root
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert inherit({"USER": "ana"}).variables["USER"] == "12345"
    monkeypatch.delenv("LOGNAME", raising=False)
    assert user_name() == "12345"


def test_home_is_a_folder_that_may_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As said, else as registered, else the project's own."""
    assert inherit({}).variables["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert inherit({"HOME": str(tmp_path)}).variables["HOME"] == str(tmp_path)
    for home in ({}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "."}):
        assert inherit(home).variables["HOME"].endswith("/home")


@pytest.mark.parametrize("name", ["TMPDIR", "TZ"])
def test_unusable_place_is_dropped(name: str, tmp_path: Path) -> None:
    usable = {"TMPDIR": str(tmp_path), "TZ": "Europe/Madrid"}[name]
    assert inherit({name: usable}).variables[name] == usable
    assert name not in inherit({name: "/nonexistent"}).variables


def test_module_needs_only_the_standard_library() -> None:
    """It also runs before any package is installed."""
    text = (ROOT / "mlstack/caller_environment.py").read_text(encoding="utf-8")
    assert "from mlstack" not in text
