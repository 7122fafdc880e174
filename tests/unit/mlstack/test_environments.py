"""Environments: which of file, set-up and command line decides on a setting."""

import os
from pathlib import Path

import boto3
import pytest
from dotenv import dotenv_values

from mlstack import environments, with_environment
from mlstack.caller_environment import name_of
from mlstack.errors import SettingsError
from mlstack.settings import ROOT

FILE = """\
# people edit this
RUN_ID=
API_PORT=9696
API_URL=http://127.0.0.1:${API_PORT}
TRAIN_TRIALS=50
MLFLOW_PORT=5051
MLFLOW_TRACKING_URI=http://127.0.0.1:${MLFLOW_PORT}
PREFECT_HOME=${PROJECT_ROOT}/.embedded/prefect
AWS_ACCESS_KEY_ID=embedded
COMPOSE_FILE=compose.yml
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one environment; the process environment is restored afterwards."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "ACTIVE_FILE", tmp_path / ".env")
    (tmp_path / ".env.embedded").write_text(FILE)
    return tmp_path


def _next_make(given: dict[str, str] | None = None) -> None:
    """Make the process environment what the next make starts with."""
    os.environ.clear()
    os.environ.update(given or {})


@pytest.mark.parametrize(
    "line",
    [
        *("API_PORT=9800", "API_PORT = 9800", "export API_PORT=9800", " API_PORT=9800 # mine"),
        *('API_PORT="9800"', "API_PORT='9800' # mine", "API_PORT=\u201c9800\u201d"),
        *("API_PORT=\u00a09800\u200b", "API_PORT\u00a0=\u00a09800", "\ufeffAPI_PORT=9800"),
        *("API_PORT=+9800", "API_PORT=9_800", "API_PORT=9800.0", 'API_PORT=" 9800 "'),
    ],
)
@pytest.mark.parametrize(
    ("end", "encoding"), [("\n", "utf-8"), ("\r\n", "utf-8-sig"), ("\r\n", "utf-16")]
)
def test_number_may_be_written_as_people_do(root: Path, line: str, end: str, encoding: str) -> None:
    """Programs and Docker Compose get the plain number, whatever stands around it."""
    text = FILE.replace("API_PORT=9696", line).replace("\n", end)
    (root / ".env.embedded").write_bytes(text.encode(encoding))
    assert environments.set_up("embedded").api_port == 9800
    assert (os.environ["API_PORT"], os.environ["API_URL"]) == ("9800", "http://127.0.0.1:9800")
    assert dotenv_values(root / ".env")["TRAIN_TRIALS"] == "50"
    written = (root / ".env").read_bytes()
    assert written.count(b"API_PORT=") == 1
    assert written.isascii()
    assert b"\r" not in written
    _next_make()
    assert environments.load("embedded").api_port == 9800
    _next_make({"API_PORT": "9900"})
    environments.set_up("embedded")
    _next_make()
    assert environments.load("embedded").api_port == 9900


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("API_PORT=96x", r"API_PORT='96x': Input should be a valid integer"),
        ("API_PORT=9,696", r"API_PORT='9,696': .* thousands no separator"),
        ("API_PORT=99999", r"API_PORT='99999': .* less than or equal to 65535"),
        ("API_PORT: 9696", r"'API_PORT: 9696' is not understood: write NAME=value"),
        ("API_PORT", r"'API_PORT' is not understood"),
        ("set API_PORT=9696", r"'set API_PORT=9696' is not understood"),
        ('API_PORT="9696', r"is not understood: .* close every quote"),
        ("api_port=9696", r"write API_PORT instead of api_port"),
        ("STREAM_ENGINE=kafka", r"STREAM_ENGINE='kafka': Input should be 'polling' or 'kcl'"),
        ("RUN_ID=nonsense", r"RUN_ID: 'nonsense' is not a run id"),
    ],
)
def test_mistake_in_the_file_has_its_line(root: Path, line: str, reason: str) -> None:
    """One sentence names file, line and setting."""
    name = "RUN_ID=" if line.startswith(("RUN_ID", "STREAM")) else "API_PORT=9696"
    (root / ".env.embedded").write_text(FILE.replace(name, line, 1))
    number = 2 if name == "RUN_ID=" else 3
    with pytest.raises(
        SettingsError, match=rf"^\.env\.embedded, line {number}: .*{reason}"
    ) as caught:
        environments.load("embedded")
    assert "\n" not in str(caught.value)


def test_mistake_on_the_command_line_names_no_file() -> None:
    """A setting that was given to make is not looked for in the file."""
    _next_make({"API_PORT": "96x"})
    with pytest.raises(SettingsError, match=r"^API_PORT='96x': Input"):
        environments.load("embedded")


def test_setting_with_two_values_is_refused(root: Path) -> None:
    """Which one counts would be a guess; the same one twice is none."""
    (root / ".env.embedded").write_text(f"{FILE}API_PORT=9696\n")
    assert environments.load("embedded").api_port == 9696
    (root / ".env.embedded").write_text(f"{FILE}API_PORT=9700\n")
    with pytest.raises(SettingsError, match="API_PORT has one value in line 3 and another in"):
        environments.load("embedded")


def test_active_file_of_an_earlier_release_is_read(root: Path) -> None:
    """It has a second line for a setting that was given to make and is exported in the file."""
    marks = "MLSTACK_ENV=embedded\nMLSTACK_GIVEN=API_PORT\n"
    (root / ".env").write_text(f"{marks}export API_PORT=9696\nAPI_PORT=9700\n")
    assert environments.load("embedded").api_port == 9700


def test_file_in_latin_1_is_refused_with_its_line(root: Path) -> None:
    """Its letters would be a guess."""
    text = FILE.replace("RUN_ID=", "DATA_FILE=/data/M\u00e4rz.csv")
    (root / ".env.embedded").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"\.env\.embedded, line 2: is not UTF-8"):
        environments.load("embedded")


def test_active_file_without_compose_has_only_what_was_given(root: Path) -> None:
    """The rest is read from the environment's file."""
    (root / ".env.embedded").write_text((ROOT / ".env.embedded").read_text())
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    kept = {"MLSTACK_ENV": "embedded", "MLSTACK_GIVEN": "API_PORT", "API_PORT": "9700"}
    assert dotenv_values(root / ".env") == kept
    _next_make()
    settings = environments.load("embedded")
    assert (settings.api_port, settings.mlflow_port) == (9700, 5051)


@pytest.mark.parametrize("name", ["local", "cloud"])
def test_shipped_file_is_copied_as_it_is(root: Path, name: str) -> None:
    """Comments and values stay, for Compose and whoever reads `.env`."""
    text = (ROOT / f".env.{name}").read_text()
    (root / f".env.{name}").write_text(text)
    _next_make()
    environments.set_up(name)
    assert (root / ".env").read_text().endswith(text)


def test_load_takes_values_from_the_file() -> None:
    settings = environments.load("embedded")
    assert settings.api_port == 9696
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5051"


def test_values_may_refer_to_the_project_root(root: Path) -> None:
    _next_make()
    environments.load("embedded")
    assert os.environ["PREFECT_HOME"] == f"{root}/.embedded/prefect"


def test_given_settings_win_and_change_addresses() -> None:
    os.environ["MLFLOW_PORT"] = "6000"
    assert environments.load("embedded").mlflow_port == 6000
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:6000"


def test_own_aws_keys_are_never_used() -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "mine"
    environments.load("embedded")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "embedded"


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE"]
)
def test_only_the_file_sets_aws_variables(name: str) -> None:
    os.environ |= {name: "true", "AWS_PORT": "4600"}
    with_environment.prepare(["--given", f"AWS_PORT {name}", "embedded", "-m", "x"])
    assert os.environ["AWS_PORT"] == "4600"
    assert name not in os.environ


def test_exported_settings_do_not_count(root: Path) -> None:
    """Other projects may use the same names: make's command line names those that count."""
    os.environ |= {"API_PORT": "9700", "TRAIN_TRIALS": "5", "PREFECT_HOME": "/mine", "GRAFANA": "1"}
    _next_make(dict(os.environ))
    prepared = ["--given", "TRAIN_TRIALS env", "--set-up", "embedded", "-m", "x"]
    assert with_environment.prepare(prepared) == ["-m", "x"]
    assert (os.environ["API_PORT"], os.environ["TRAIN_TRIALS"]) == ("9696", "5")
    assert os.environ["PREFECT_HOME"] == f"{root}/.embedded/prefect"
    kept = dotenv_values(root / ".env")
    assert (kept["API_PORT"], kept["TRAIN_TRIALS"]) == ("9696", "5")
    assert kept["MLSTACK_GIVEN"] == "TRAIN_TRIALS"


def test_given_settings_that_only_compose_reads_count() -> None:
    """The file's other settings may be given too, such as Grafana's port, but never `AWS_*`."""
    given = {"PREFECT_HOME": "/given", "AWS_ACCESS_KEY_ID": "mine"}
    os.environ |= given
    with_environment.prepare(["--given", " ".join(given), "--set-up", "embedded", "-m", "x"])
    assert os.environ["PREFECT_HOME"] == "/given"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "embedded"
    os.environ.clear()
    environments.load("embedded")
    assert os.environ["PREFECT_HOME"] == "/given"


@pytest.mark.parametrize(
    ("name", "on", "off", "file"),
    [
        ("API_SERVERS", "3", "1", "docker-compose-servers.yml"),
        ("STREAM_SERVERS", "3", "1", "docker-compose-stream-servers.yml"),
        ("DEPLOYMENT_RECORD", "s3://bucket/folder", "", "docker-compose-members.yml"),
        ("TRAIN_ENGINE", "dask", "threads", "docker-compose-dask.yml"),
    ],
)
def test_settings_add_a_compose_file(root: Path, name: str, on: str, off: str, file: str) -> None:
    """Compose itself reads it in `.env`; it goes with the setting."""
    several = f"compose.yml:{file}"
    _next_make({name: on})
    environments.set_up("embedded")
    _next_make()
    for _ in range(2):  # a process may load it again
        environments.load("embedded")
        assert os.environ["COMPOSE_FILE"] == several
    assert dotenv_values(root / ".env")["COMPOSE_FILE"] == several
    _next_make({name: off})
    environments.set_up("embedded")
    assert os.environ["COMPOSE_FILE"] == "compose.yml"
    assert dotenv_values(root / ".env")["COMPOSE_FILE"] == "compose.yml"


def test_ignored_variable_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["SSL_CERT_FILE"] = "/nonexistent/ca.pem"
    with_environment.prepare(["embedded", "-m", "x"])
    printed = capsys.readouterr()
    assert printed.err.count("SSL_CERT_FILE is ignored: /nonexistent/ca.pem") == 1
    assert printed.out == ""


def test_another_users_state_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo make demo` once, and then without: the sentence says whose it is and what to do."""
    (root / ".embedded").mkdir()
    environments.require_access()
    monkeypatch.setattr(os, "access", lambda path, _: path != root / ".embedded")
    owner = name_of((root / ".embedded").stat().st_uid)
    monkeypatch.setenv("LOGNAME", "ana")
    with pytest.raises(SettingsError, match=f"belongs to {owner}.* you are ana: run make as"):
        environments.require_access()


def test_own_aws_config_does_not_bypass_the_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env.embedded").write_text((ROOT / ".env.embedded").read_text())
    (tmp_path / ".aws").mkdir()
    config = "[default]\nignore_configured_endpoint_urls = true\nregion = eu-west-1\n"
    (tmp_path / ".aws/config").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))
    environments.load("embedded")
    client = boto3.Session().client("s3")
    assert client.meta.endpoint_url == os.environ["AWS_ENDPOINT_URL"]


def test_active_file_is_private(root: Path) -> None:
    """`MONGO_URI` may contain a password."""
    (root / ".env").touch(0o644)
    _next_make({"MONGO_URI": "mongodb://ana:secret@db.example"})
    environments.set_up("embedded")
    assert (root / ".env").stat().st_mode & 0o777 == 0o600


def test_load_keeps_no_given_settings() -> None:
    _next_make({"TRAIN_TRIALS": "5"})
    assert environments.load("embedded").train_trials == 5
    _next_make()
    assert environments.load("embedded").train_trials == 50
    assert environments.active_name() is None


def test_set_up_keeps_given_settings_until_reset() -> None:
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    _next_make()
    assert environments.active_name() == "embedded"
    assert environments.load("embedded").api_port == 9700
    environments.forget()
    _next_make()
    assert environments.load("embedded").api_port == 9696


def test_later_set_up_keeps_earlier_given_settings() -> None:
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    _next_make({"TRAIN_TRIALS": "5"})
    environments.set_up("embedded")
    _next_make()
    settings = environments.load("embedded")
    assert (settings.api_port, settings.train_trials) == (9700, 5)


@pytest.mark.parametrize(
    "given",
    [
        "/data/my table #2.csv",
        "/data/a$b.csv",
        "/data/${API_PORT}.csv",
        '/data/it\'s "his".csv',
        "'quoted'",
        "/data/back\\slash's.csv",
        "#first",
        " blank ",
    ],
)
def test_given_values_are_kept_literally(root: Path, given: str) -> None:
    _next_make({"DATA_FILE": given})
    assert str(environments.set_up("embedded").data_file) == given
    assert dotenv_values(root / ".env", interpolate=False)["DATA_FILE"] == given
    _next_make()
    assert str(environments.load("embedded").data_file) == given
    environments.set_up("embedded")
    _next_make()
    assert str(environments.load("embedded").data_file) == given


def test_addresses_derived_from_ports_are_not_kept() -> None:
    """`make demo` sets up the environment that it was started in."""
    _next_make({"API_PORT": "9700"})
    environments.load("embedded")
    environments.set_up("embedded")
    _next_make({"API_PORT": "9800"})
    environments.set_up("embedded")
    assert os.environ["API_URL"] == "http://127.0.0.1:9800"


def test_giving_the_file_value_again_ends_keeping_it() -> None:
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    _next_make({"API_PORT": "9696"})
    environments.set_up("embedded")
    _next_make()
    assert environments.load("embedded").api_port == 9696


def test_run_id_is_not_kept() -> None:
    """A kept run id would be deployed again at every start and undo later deployments."""
    _next_make({"RUN_ID": "a" * 32})
    assert environments.set_up("embedded").run_id == "a" * 32
    _next_make()
    assert environments.load("embedded").run_id == ""


def test_edits_of_the_file_take_effect_after_set_up(root: Path) -> None:
    environments.set_up("embedded")
    (root / ".env.embedded").write_text(FILE.replace("9696", "9800"))
    _next_make()
    assert environments.load("embedded").api_port == 9800


def test_variables_returns_only_the_environments_own() -> None:
    os.environ["HOME_MADE"] = "x"
    os.environ["TRAIN_SEED"] = "7"
    environments.load("embedded")
    variables = environments.variables("embedded")
    assert variables["TRAIN_SEED"] == "7"
    assert variables["AWS_ACCESS_KEY_ID"] == "embedded"
    assert variables["MLSTACK_ENV"] == "embedded"
    assert "HOME_MADE" not in variables


def test_unknown_environment_error_lists_the_known() -> None:
    with pytest.raises(SettingsError, match=r"env=local: .* choose env=embedded"):
        environments.load("local")


def test_unknown_variable_in_a_value_is_refused(root: Path) -> None:
    (root / ".env.embedded").write_text("A=${NOBODY}")
    with pytest.raises(SettingsError, match="NOBODY"):
        environments.load("embedded")


def test_stray_dollar_error_says_what_to_write(root: Path) -> None:
    (root / ".env.embedded").write_text("A=100$ a day")
    with pytest.raises(SettingsError, match=r"write \$\$"):
        environments.load("embedded")


def test_empty_name_means_the_active_environment() -> None:
    environments.set_up("embedded")
    _next_make()
    assert with_environment.prepare(["", "-m", "operations.aws.init_aws"]) == [
        "-m",
        "operations.aws.init_aws",
    ]
    assert os.environ["MLSTACK_ENV"] == "embedded"


def test_empty_name_means_local_before_any_set_up() -> None:
    with pytest.raises(SettingsError, match="env=local"):
        with_environment.prepare(["", "-m", "operations.aws.init_aws"])


def test_set_up_option_activates_the_environment() -> None:
    command = with_environment.prepare(["--set-up", "embedded", "-m", "x", "--option"])
    assert command == ["-m", "x", "--option"]
    assert environments.active_name() == "embedded"


@pytest.mark.parametrize("arguments", [[], ["embedded"], ["--set-up"], ["-m", "module"]])
def test_command_line_without_a_command_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="Usage"):
        with_environment.prepare(arguments)
