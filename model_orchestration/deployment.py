"""How the training flow is deployed."""

from mlstack.contract import Contract
from mlstack.flows.deployment import FlowDeployment
from mlstack.settings import Settings

FLOW = "model_tuning_and_uploading"


def training_flow() -> FlowDeployment:
    """The training flow as the settings have it.

    Raises:
        SettingsError: a setting has no usable value.
        ContractError: the contract breaks its rules.
    """
    settings = Settings.load()
    Contract.load(settings.contract_path)
    return FlowDeployment(
        flow=FLOW,
        entrypoint=f"model_orchestration/model_train_flow.py:{FLOW}",
        parameters={
            "contract": str(settings.contract),
            "trials": settings.train_trials,
            "seed": settings.train_seed,
        },
        every_minutes=settings.train_every_minutes,
        description="Raw table -> search -> new version in the model registry",
        remark=f"{settings.train_trials} trials",
        apply_target="make apply-model-train-flow",
        run_target="make train",
    )
