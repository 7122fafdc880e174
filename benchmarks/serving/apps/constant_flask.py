"""Flask answering a constant: it reads no body, and neither predicts nor keeps."""

from flask import Flask, Response

app = Flask(__name__)
_ANSWER = b'{"prediction": 0.5}'


@app.post("/predict")
def predict() -> Response:
    """Answer the constant."""
    return Response(_ANSWER, content_type="application/json")
