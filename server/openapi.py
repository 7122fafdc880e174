"""Build the API's description (OpenAPI 3.1) from the contract in use."""

from collections.abc import Mapping
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.customer_schema import customer_schema
from mlstack.contract.prediction_fields import PREDICTION_ID, RUN_ID
from mlstack.deployment.predictor import MAX_BATCH
from mlstack.errors import MAX_ERRORS
from mlstack.prediction_log.feedback import MAX_FEEDBACK, feedback_schema
from mlstack.web.problems import CONTENT_TYPE, Problem
from server.explainer import PARAMETER
from server.logs import REQUEST_ID
from server.prediction_ids import IDEMPOTENCY_KEY
from server.prediction_schema import example_outcome, object_schema, prediction_schema
from server.problems import KINDS

VERSION = "1"
"""Version of the routes and their responses; the customer's schema follows the model."""

_EXAMPLE_RUN_ID = "0123456789abcdef0123456789abcdef"
_EXAMPLE_PREDICTION_ID = "8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11"

_UNAUTHORIZED, _UNAVAILABLE = 401, 503
# Undocumented paths and methods return 404 and 405; 500 is a defect.
_BODY_STATUSES = sorted({kind.status for kind in KINDS.values()} - {_UNAUTHORIZED, 404, 405, 500})
"""Statuses of all problems that a request body can cause."""

# Alternatives: a server that only its own machine can reach needs no token.
_WITH_TOKEN: list[dict[str, list[str]]] = [{"feedbackToken": []}, {}]


def openapi_document(contract: Contract, run_id: str | None) -> dict[str, Any]:
    """Describe all routes, responses and problems.

    `run_id` is the run of the model in use; None if there is none yet.
    """
    served = f"Model in use: MLflow run `{run_id}`." if run_id else "No model is in use yet."
    return {
        "openapi": "3.1.0",
        "info": {
            "title": contract.name,
            "version": VERSION,
            "description": (
                f"{contract.description} `{contract.answer}` is the prediction. "
                f"{contract.target.prediction_schema['description']}\n\n{served}"
            ),
        },
        # Relative to the document's own address: a proxy may serve all of it under a prefix.
        "servers": [{"url": "./"}],
        "tags": [
            {"name": "predictions"},
            {"name": "operation", "description": "Health, metrics and documentation."},
        ],
        "paths": {
            "/predict": {"post": _predict()},
            "/predict/batch": {"post": _predict_batch(contract)},
            "/feedback": {"post": _feedback(contract)},
            **_operation_paths(run_id or _EXAMPLE_RUN_ID),
        },
        "components": {
            "schemas": {
                "Customer": customer_schema(contract),
                "Outcome": {
                    **feedback_schema(contract.target, contract.key),
                    "example": {
                        PREDICTION_ID: _EXAMPLE_PREDICTION_ID,
                        contract.target.name: contract.target.reported(
                            example_outcome(contract.target)
                        ),
                    },
                },
                "Prediction": prediction_schema(
                    contract, run_id or _EXAMPLE_RUN_ID, _EXAMPLE_PREDICTION_ID
                ),
                "Problem": _problem_schema(),
            },
            "parameters": {
                "Explain": {
                    "name": PARAMETER,
                    "in": "query",
                    "description": (
                        "Adds the contribution of each feature to the answer. Explanations are "
                        "made one at a time: one that has to wait too long gets 503."
                    ),
                    "schema": {"type": "integer", "enum": [1]},
                },
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "description": (
                        "Makes a repeat the same prediction: the same key with the same "
                        "customer on the same model has the same prediction_id."
                    ),
                    "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
                },
                "RequestId": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "description": (
                        "Names the request in the answer and in the server's log, if it has 1 to "
                        "64 letters, digits and `._-`. Any other value is accepted and replaced: "
                        "the header X-Request-Id of the answer has the name in use."
                    ),
                    # No pattern: a header of a proxy's own form must not cost a prediction.
                    "schema": {"type": "string"},
                },
            },
            "headers": {
                "RequestId": {
                    "description": "Names the request in the server's log.",
                    "schema": {"type": "string", "pattern": f"^{REQUEST_ID.pattern}$"},
                },
                "Authenticate": {
                    "description": "How to authenticate.",
                    "schema": {"type": "string"},
                },
                "RetryAfter": {
                    "description": "Seconds after which to try again.",
                    "schema": {"type": "integer"},
                },
            },
            "responses": {
                str(status): _problem_response(status)
                for status in (_UNAUTHORIZED, *_BODY_STATUSES)
            },
            "securitySchemes": {
                "feedbackToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Required if other machines can reach the server.",
                }
            },
        },
    }


def _predict() -> dict[str, Any]:
    customer, prediction = _ref("schemas", "Customer"), _ref("schemas", "Prediction")
    return {
        "operationId": "predict",
        "summary": "Predict one customer",
        **_prediction(customer, "The prediction.", prediction, _ref("parameters", "Explain")),
    }


def _predict_batch(contract: Contract) -> dict[str, Any]:
    customers = {
        "type": "array",
        "items": _ref("schemas", "Customer"),
        "minItems": 1,
        "maxItems": MAX_BATCH,
        "example": [dict(contract.example)],
    }
    predictions = {"type": "array", "items": _ref("schemas", "Prediction")}
    return {
        "operationId": "predictBatch",
        "summary": f"Predict 1 to {MAX_BATCH:,} customers",
        "description": "In the same order; if one customer is invalid, none is predicted.",
        **_prediction(customers, "The predictions.", predictions),
    }


def _prediction(
    body: Mapping[str, Any], description: str, answer: Mapping[str, Any], *more: Mapping[str, Any]
) -> dict[str, Any]:
    headers = [_ref("parameters", "IdempotencyKey"), _ref("parameters", "RequestId")]
    return {
        "tags": ["predictions"],
        "parameters": [*more, *headers],
        "requestBody": _body(body),
        "responses": {"200": _ok(description, answer), **_problems(*_BODY_STATUSES)},
    }


def _feedback(contract: Contract) -> dict[str, Any]:
    outcome = _ref("schemas", "Outcome")
    outcomes = {"type": "array", "items": outcome, "minItems": 1, "maxItems": MAX_FEEDBACK}
    accepted = object_schema({"accepted": {"type": "integer", "minimum": 1}})
    return {
        "operationId": "feedback",
        "tags": ["predictions"],
        "summary": "Report outcomes of customers",
        "description": (
            f"`{contract.target.name}`: {contract.target.meaning} Once it is known, in any order; "
            "of two reports on a prediction the later one counts."
        ),
        "security": _WITH_TOKEN,
        "parameters": [_ref("parameters", "RequestId")],
        "requestBody": _body({"oneOf": [outcome, outcomes]}),
        "responses": {"202": _ok("Kept.", accepted), **_problems(_UNAUTHORIZED, *_BODY_STATUSES)},
    }


def _operation_paths(run_id: str) -> dict[str, Any]:
    def path(
        operation: str,
        summary: str,
        schema: Mapping[str, Any],
        *problems: int,
        media_type: str = "application/json",
        **more: Any,
    ) -> dict[str, Any]:
        return {
            "get": {
                "operationId": operation,
                "tags": ["operation"],
                "summary": summary,
                "parameters": [_ref("parameters", "RequestId")],
                "responses": {"200": _ok(summary, schema, media_type), **_problems(*problems)},
                **more,
            }
        }

    text = {"type": "string"}
    alive = object_schema({"status": {"const": "alive"}})
    ready = object_schema({"status": {"const": "ready"}, RUN_ID: {**text, "example": run_id}})
    return {
        "/health/live": path("live", "The process answers", alive),
        "/health/ready": path("ready", "A verified model is in use", ready, _UNAVAILABLE),
        "/metrics": path("metrics", "Metrics for Prometheus", text, media_type="text/plain"),
        "/marginals": path(
            "marginals",
            "Distribution of each feature in training, for simulators",
            {"type": ["object", "null"]},
            _UNAUTHORIZED,
            _UNAVAILABLE,
            security=_WITH_TOKEN,
        ),
        "/openapi.json": path("openapi", "This description", {"type": "object"}, _UNAVAILABLE),
        "/docs": path("docs", "This description, as a page", text, media_type="text/html"),
        "/": path("form", "A form to try the model", text, _UNAVAILABLE, media_type="text/html"),
    }


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    fault = {
        "pointer": {"type": "string", "description": "JSON pointer to the field."},
        "code": text,
        "detail": text,
    }
    return object_schema(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "code": {"type": "string", "description": "Stable code for programs."},
            "request_id": text,
            "errors": {"type": "array", "maxItems": MAX_ERRORS, "items": object_schema(fault)},
        }
    )


def _problem_response(status: int) -> dict[str, Any]:
    kinds = [kind for kind in KINDS.values() if kind.status == status]
    examples = {
        kind.code: {
            "summary": kind.title,
            "value": Problem(kind, kind.title, request_id="5f3c8a", errors=[]).document(),
        }
        for kind in kinds
    }
    content = {"schema": _ref("schemas", "Problem"), "examples": examples}
    headers = {"X-Request-Id": _ref("headers", "RequestId")}
    if status == _UNAVAILABLE:
        headers["Retry-After"] = _ref("headers", "RetryAfter")
    if status == _UNAUTHORIZED:
        headers["WWW-Authenticate"] = _ref("headers", "Authenticate")
    return {
        "description": " ".join(f"`{kind.code}`: {kind.title}" for kind in kinds),
        "headers": headers,
        "content": {CONTENT_TYPE: content},
    }


def _problems(*statuses: int) -> dict[str, Any]:
    return {str(status): _ref("responses", str(status)) for status in statuses}


def _body(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _ok(
    description: str, schema: Mapping[str, Any], media_type: str = "application/json"
) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"X-Request-Id": _ref("headers", "RequestId")},
        "content": {media_type: {"schema": schema}},
    }


def _ref(section: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{section}/{name}"}
