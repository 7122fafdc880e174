"""Which settings are in force: file, what was given at set-up, what is given now."""

import os
from pathlib import Path

import boto3
import pytest
from dotenv import dotenv_values

from mlstack import environments, with_environment
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
"""


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one environment, and a process environment that is put back."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "ACTIVE_FILE", tmp_path / ".env")
    (tmp_path / ".env.embedded").write_text(FILE)
    return tmp_path


def _next_make(given: dict[str, str] | None = None) -> None:
    """The process environment as the next make finds it."""
    for name in (*environments.OWN_VARIABLES, environments.NAME_VARIABLE):
        os.environ.pop(name, None)
    os.environ.update(given or {})


def test_a_file_s_values_come_into_force() -> None:
    settings = environments.load("embedded")
    assert settings.api_port == 9696
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5051"


def test_the_project_s_root_may_be_named_in_a_value(root: Path) -> None:
    environments.load("embedded")
    assert os.environ["PREFECT_HOME"] == f"{root}/.embedded/prefect"


def test_what_is_given_wins_over_the_file_and_moves_the_addresses() -> None:
    os.environ["MLFLOW_PORT"] = "6000"
    assert environments.load("embedded").mlflow_port == 6000
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:6000"


def test_a_developer_s_own_aws_profile_is_never_reached() -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "mine"
    environments.load("embedded")
    assert os.environ["AWS_ACCESS_KEY_ID"] == "embedded"


@pytest.mark.parametrize(
    "name", ["AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_PROFILE"]
)
def test_of_aws_nothing_is_in_force_but_what_the_file_says(name: str) -> None:
    os.environ |= {name: "true", "AWS_PORT": "4600"}
    assert environments.load("embedded").aws_port == 4600
    assert name not in os.environ


def test_a_file_of_aws_settings_does_not_lead_past_the_emulator(
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


def test_what_is_kept_is_nobody_else_s_to_read(root: Path) -> None:
    """It may be an address of MongoDB with a password in it."""
    (root / ".env").touch(0o644)
    _next_make({"MONGO_URI": "mongodb://ana:secret@db.example"})
    environments.set_up("embedded")
    assert (root / ".env").stat().st_mode & 0o777 == 0o600


def test_loading_alone_keeps_nothing() -> None:
    _next_make({"TRAIN_TRIALS": "5"})
    assert environments.load("embedded").train_trials == 5
    _next_make()
    assert environments.load("embedded").train_trials == 50
    assert environments.active_name() is None


def test_what_was_given_at_set_up_is_kept_until_the_reset() -> None:
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    _next_make()
    assert environments.active_name() == "embedded"
    assert environments.load("embedded").api_port == 9700
    environments.forget()
    _next_make()
    assert environments.load("embedded").api_port == 9696


def test_a_later_set_up_keeps_what_an_earlier_one_was_given() -> None:
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
def test_what_is_given_is_taken_and_kept_as_it_stands(root: Path, given: str) -> None:
    _next_make({"DATA_FILE": given})
    assert str(environments.set_up("embedded").data_file) == given
    assert dotenv_values(root / ".env", interpolate=False)["DATA_FILE"] == given
    _next_make()
    assert str(environments.load("embedded").data_file) == given
    environments.set_up("embedded")
    _next_make()
    assert str(environments.load("embedded").data_file) == given


def test_an_address_that_follows_from_a_port_is_not_kept() -> None:
    """A target may set the environment up that it was started in (`make demo`)."""
    _next_make({"API_PORT": "9700"})
    environments.load("embedded")
    environments.set_up("embedded")
    _next_make({"API_PORT": "9800"})
    environments.set_up("embedded")
    assert os.environ["API_URL"] == "http://127.0.0.1:9800"


def test_what_is_given_as_the_file_has_it_is_no_longer_kept() -> None:
    _next_make({"API_PORT": "9700"})
    environments.set_up("embedded")
    _next_make({"API_PORT": "9696"})
    environments.set_up("embedded")
    _next_make()
    assert environments.load("embedded").api_port == 9696


def test_the_choice_of_a_model_is_not_kept() -> None:
    """It would be deployed again at every start, over every later deploy."""
    _next_make({"RUN_ID": "a" * 32})
    assert environments.set_up("embedded").run_id == "a" * 32
    _next_make()
    assert environments.load("embedded").run_id == ""


def test_editing_the_environment_s_file_takes_effect_after_set_up(root: Path) -> None:
    environments.set_up("embedded")
    (root / ".env.embedded").write_text(FILE.replace("9696", "9800"))
    _next_make()
    assert environments.load("embedded").api_port == 9800


def test_an_environment_s_variables_are_its_own_and_nothing_else() -> None:
    os.environ["HOME_MADE"] = "x"
    os.environ["TRAIN_SEED"] = "7"
    environments.load("embedded")
    variables = environments.variables("embedded")
    assert variables["TRAIN_SEED"] == "7"
    assert variables["AWS_ACCESS_KEY_ID"] == "embedded"
    assert variables["MLSTACK_ENV"] == "embedded"
    assert "HOME_MADE" not in variables


def test_an_unknown_environment_says_which_there_are() -> None:
    with pytest.raises(SettingsError, match=r"env=local: .* there is env=embedded"):
        environments.load("local")


def test_a_value_that_names_an_unknown_variable_is_refused(root: Path) -> None:
    (root / ".env.embedded").write_text("A=${NOBODY}")
    with pytest.raises(SettingsError, match="NOBODY"):
        environments.load("embedded")


def test_a_stray_dollar_in_the_file_is_refused_with_what_to_write(root: Path) -> None:
    (root / ".env.embedded").write_text("A=100$ a day")
    with pytest.raises(SettingsError, match=r"write \$\$"):
        environments.load("embedded")


def test_without_a_name_the_environment_last_set_up_is_taken() -> None:
    environments.set_up("embedded")
    _next_make()
    assert with_environment.prepare(["", "-m", "operations.aws.init_aws"]) == [
        "-m",
        "operations.aws.init_aws",
    ]
    assert os.environ["MLSTACK_ENV"] == "embedded"


def test_without_a_name_and_nothing_set_up_it_is_local() -> None:
    with pytest.raises(SettingsError, match="env=local"):
        with_environment.prepare(["", "-m", "operations.aws.init_aws"])


def test_set_up_makes_the_environment_the_active_one() -> None:
    command = with_environment.prepare(["--set-up", "embedded", "-m", "x", "--option"])
    assert command == ["-m", "x", "--option"]
    assert environments.active_name() == "embedded"


@pytest.mark.parametrize("arguments", [[], ["embedded"], ["--set-up"], ["-m", "module"]])
def test_a_command_line_without_a_command_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="Usage"):
        with_environment.prepare(arguments)
