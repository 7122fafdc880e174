"""Keep model cards in MLflow, and show them in the report browser.

MLflow has the cards, as files of runs; the reports' folder has copies, which `publish_cards`
completes from there. So a card is backed up and removed together with its version.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlstack.errors import ModelError, RegistryUnavailable
from mlstack.files import write_atomically
from mlstack.model.card_names import CARD, CARD_TAG, CARDS, card_name
from mlstack.model.mlflow_api import connect, download, explain, pages, run_address
from mlstack.settings import Settings
from model_orchestration.model_card.templates import templates
from model_orchestration.names import TEST_PREFIX

if TYPE_CHECKING:
    # Pruning needs neither matplotlib nor scikit-learn.
    from model_orchestration.model_card.card import Card
    from model_orchestration.registration import Registration

CARD_FILE = "model_card/card.html"
"""Artifact of the run of a registered version."""

_NAV = "<!-- nav -->"
"""Where a copy gets its link to the other cards, which does not work in MLflow."""

_AS_WRITTEN = {"auc": "AUC", "mae": "MAE", "r2": "R2"}
"""Parts of figures' names that pages write otherwise than tags."""


class Listed(NamedTuple):
    """A version in the list of cards; without a card its page is empty."""

    model: str
    version: str
    registered_at: datetime
    aliases: tuple[str, ...]
    figures: dict[str, str]
    page: str


def keep_card(settings: Settings, registered: "Registration", run_id: str, card: "Card") -> None:
    """Add a card to the run and to the version in MLflow, and a summary to the description.

    Raises RegistryUnavailable if MLflow is unreachable or rejects it.
    """
    client, name, version = connect(), registered.name, registered.version
    try:
        experiment = client.get_run(run_id).info.experiment_id
        client.log_text(run_id, card.page, CARD_FILE)
        page = f"{run_address(experiment, run_id)}/artifacts/{CARD_FILE}"
        links = f"[Model card]({settings.reports_url}/{card_name(run_id)}) ([in MLflow]({page}))"
        client.update_model_version(name, version, f"{links}: {card.summary}")
        client.set_model_version_tag(name, version, CARD_TAG, CARD_FILE)
    except MlflowException as error:
        raise RegistryUnavailable(f"MLflow does not take the card: {explain(error)}") from error


def publish_cards(settings: Settings) -> int:
    """Copy new cards into the reports' folder, and list all versions there.

    Removes the cards of versions that are gone; returns their number. Raises RegistryUnavailable if
    MLflow is unreachable or rejects a request.
    """
    folder = settings.reports_path
    # Before the versions: a card that appears meanwhile is not taken for one of a removed version.
    there = {path.name for path in folder.glob("*.html") if CARD.fullmatch(path.name)}
    try:
        listed = [_listed(*found, folder) for found in _versions(connect())]
    except MlflowException as error:
        raise RegistryUnavailable(f"MLflow does not list its models: {explain(error)}") from error
    listed.sort(key=lambda each: each.registered_at, reverse=True)
    if listed or (folder / CARDS).exists():
        page = templates.get_template("cards.html").render(versions=listed)
        write_atomically(folder / CARDS, page.encode())
    gone = there - {each.page for each in listed}
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return len(gone)


def _versions(client: MlflowClient) -> Iterator[tuple[ModelVersion, tuple[str, ...]]]:
    """Yield every version with its aliases, which MLflow's search leaves out."""
    aliases = {
        (model.name, alias): str(version)
        for model in pages(client.search_registered_models)
        for alias, version in model.aliases.items()
    }
    for found in pages(client.search_model_versions):
        own = (
            alias
            for (model, alias), version in aliases.items()
            if (model, version) == (found.name, str(found.version))
        )
        yield found, tuple(sorted(own))


def _listed(found: ModelVersion, aliases: tuple[str, ...], folder: Path) -> Listed:
    tags = found.tags
    page = card_name(str(found.run_id)) if found.run_id and CARD_TAG in tags else ""
    if page and not (folder / page).exists() and not _copy(str(found.run_id), folder / page):
        page = ""
    return Listed(
        found.name,
        str(found.version),
        datetime.fromtimestamp(found.creation_timestamp / 1000, UTC),
        aliases,
        {
            _title(tag.removeprefix(TEST_PREFIX)): _rounded(value)
            for tag, value in sorted(tags.items())
            if tag.startswith(TEST_PREFIX)
        },
        page,
    )


def _title(figure: str) -> str:
    """Write a figure's name as other pages do."""
    return " ".join(_AS_WRITTEN.get(word, word) for word in figure.split("_"))


def _rounded(value: str) -> str:
    """Shorten a number; people can edit tags, so that it may be any text."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _copy(run_id: str, path: Path) -> bool:
    """Copy a card from MLflow; return False if somebody has deleted it there."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            card = download(run_id, CARD_FILE, Path(scratch)).read_text(encoding="utf-8")
    except RegistryUnavailable:
        raise
    except ModelError:
        return False
    nav = templates.get_template("card_nav.html").render()
    write_atomically(path, card.replace(_NAV, nav, 1).encode())
    return True
