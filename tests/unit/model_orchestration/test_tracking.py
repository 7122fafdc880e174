import hashlib

from mlstack.contract import Contract
from model_orchestration.tracking import provenance


def test_provenance_names_data_contract_code_and_libraries(documented: Contract) -> None:
    tags = provenance(b"raw table", documented)
    assert tags["data_sha256"] == hashlib.sha256(b"raw table").hexdigest()
    assert tags["data_key"] == f"tables/{tags['data_sha256']}.csv"
    assert tags["contract"] == documented.name
    assert tags["contract_digest"] == documented.digest
    assert {"git_revision", "version.python", "version.xgboost", "version.hyperopt"} <= tags.keys()
