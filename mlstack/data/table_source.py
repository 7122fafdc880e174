"""Read the table that `DATA_FILE` names: a file, a folder of Parquet files, or either in S3.

Commands on a machine whose services run in containers have no boto3, so it is imported on use.
"""

from pathlib import Path

from mlstack.data.table_files import is_table_file, pack, table_content
from mlstack.errors import SettingsError
from mlstack.s3_address import S3Address
from mlstack.settings import ROOT


def read_source(source: Path | S3Address) -> bytes:
    """Return the content of a table; a folder becomes an archive of its Parquet files.

    Raises:
        SettingsError: it does not exist.
        DataError: the folder has no Parquet files.
        FeatureStoreError: S3 cannot be reached or rejects a request.
    """
    if isinstance(source, S3Address):
        return _download(source)
    if not (ROOT / source).exists():
        raise SettingsError(f"DATA_FILE={source}: file not found")
    return table_content(ROOT / source)


def _download(address: S3Address) -> bytes:
    from mlstack.data.feature_store import FeatureStore  # noqa: PLC0415 - see the module

    store = FeatureStore(address.bucket)
    if not address.key.endswith("/") and store.has(address.key):
        return store.download(address.key)
    folder = f"{address.key.rstrip('/')}/"
    names = (key.removeprefix(folder) for key in store.objects(folder))
    found = {name: store.download(folder + name) for name in names if is_table_file(name)}
    if not found:
        raise SettingsError(
            f"DATA_FILE={address}: there is neither such an object nor a folder with Parquet files"
        )
    return pack(found)
