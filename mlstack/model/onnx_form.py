"""Convert XGBoost models to ONNX: one tree ensemble that adds up the same leaves.

ONNX Runtime then gives XGBoost's margins bit for bit. The converter of onnxmltools does not: it
also translates base score and objective, which is inexact, and wrong for some objectives.

Import this module only where models are trained or converted: servers do without XGBoost and onnx.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)

from mlstack.errors import ModelError
from mlstack.model.engine import MARGINS, ROWS
from mlstack.model.targets import Margins

# Versions that every release of ONNX Runtime since 2024 reads.
_DOMAIN = "ai.onnx.ml"
_OPSETS = (make_opsetid("", 21), make_opsetid(_DOMAIN, 3))
_IR_VERSION = 10

Floats = NDArray[np.float32]


class OnnxForm:
    """A booster as ONNX: `content` has the rows' margins as its only output.

    Raises ModelError if the booster does not consist of plain trees with numeric splits.
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        model = json.loads(booster.save_raw("json"))
        trees, outputs = _plain_trees(model["learner"]["gradient_booster"])
        base = _base_margins(model, booster.num_features())

        def joined(name: str) -> NDArray[Any]:
            """Join what the trees say of their nodes, shape (n_nodes,)."""
            return np.concatenate([tree[name] for tree in trees])

        left = joined("left_children")  # the child for values below the split; -1 at a leaf
        leaf, inner = left < 0, left >= 0
        column = joined("split_indices")
        split = joined("split_conditions").astype(np.float32)  # at a leaf, what it adds
        sizes = [len(tree["left_children"]) for tree in trees]
        tree_ids = np.repeat(np.arange(len(trees)), sizes)
        node_ids = np.concatenate([np.arange(size) for size in sizes])
        # XGBoost starts with the base and adds one tree after the other. With the base in the
        # leaves of each output's first tree, the same numbers are added in the same order.
        added = np.zeros(len(trees), dtype=np.float32)
        added[[outputs.index(each) for each in range(len(base))]] = base
        output = np.array(outputs)[tree_ids]
        self.content = _ensemble(
            booster.num_features(),
            len(base),
            {
                "nodes_treeids": tree_ids,
                "nodes_nodeids": node_ids,
                "nodes_featureids": column * inner,
                "nodes_values": split * inner,
                "nodes_modes": np.where(inner, b"BRANCH_LT", b"LEAF"),
                "nodes_truenodeids": left * inner,
                "nodes_falsenodeids": joined("right_children") * inner,
                "nodes_missing_value_tracks_true": joined("default_left").astype(np.int64) * inner,
                "target_treeids": tree_ids[leaf],
                "target_nodeids": node_ids[leaf],
                "target_ids": output[leaf],
                "target_weights": (split + added[tree_ids])[leaf],
            },
        )
        column, split = column[inner], split[inner]
        self.splits = {int(each): np.unique(split[column == each]) for each in np.unique(column)}
        """The values at which the trees split, ascending, by column of the matrix."""


def xgboost_margins(booster: xgboost.Booster, matrix: Floats) -> Margins:
    """Return XGBoost's own margins, in the shape of `Engine.margins`."""
    found = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    margins: Margins = found.reshape(len(matrix), -1)
    return margins


def _plain_trees(part: dict[str, Any]) -> tuple[list[dict[str, Any]], list[int]]:
    """Return a booster's trees, and the output to which each adds."""
    if part["name"] != "gbtree":
        raise ModelError(f"a model of {part['name']} cannot be converted to ONNX, only trees can")
    trees: list[dict[str, Any]] = part["model"]["trees"]
    for tree in trees:
        size = tree["tree_param"]
        if any(tree["split_type"]) or int(size["num_deleted"]) or int(size["size_leaf_vector"]) > 1:
            raise ModelError(
                "a model with splits by category, pruned nodes or vectors in its leaves cannot be "
                "converted to ONNX"
            )
    return trees, part["model"]["tree_info"]


def _base_margins(model: dict[str, Any], width: int) -> Floats:
    """Return the margins that XGBoost starts with.

    No file contains them, so they are predicted by a model whose leaves are all zero.
    """
    part = model["learner"]["gradient_booster"]["model"]
    count = part["iteration_indptr"][1]
    zeros = [
        {
            **tree,
            "split_conditions": [
                0.0 if left < 0 else split
                for left, split in zip(tree["left_children"], tree["split_conditions"], strict=True)
            ],
        }
        for tree in part["trees"][:count]
    ]
    one_round = {
        **part,
        "gbtree_model_param": {**part["gbtree_model_param"], "num_trees": str(count)},
        "iteration_indptr": [0, count],
        "tree_info": part["tree_info"][:count],
        "trees": zeros,
    }
    learner = model["learner"]
    changed = {
        **model,
        "learner": {
            **learner,
            "gradient_booster": {**learner["gradient_booster"], "model": one_round},
        },
    }
    booster = xgboost.Booster(model_file=bytearray(json.dumps(changed).encode()))
    return xgboost_margins(booster, np.zeros((1, width), dtype=np.float32)).reshape(-1)


def _ensemble(width: int, outputs: int, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    node = make_node(
        "TreeEnsembleRegressor",
        [ROWS],
        [MARGINS],
        domain=_DOMAIN,
        n_targets=outputs,
        aggregate_function="SUM",
        post_transform="NONE",
    )
    # `make_node` would check the type of each number.
    node.attribute.extend(_attribute(name, array) for name, array in arrays.items())
    graph = make_graph(
        [node],
        "model",
        [make_tensor_value_info(ROWS, TensorProto.FLOAT, [None, width])],
        [make_tensor_value_info(MARGINS, TensorProto.FLOAT, [None, outputs])],
    )
    model = make_model(graph, opset_imports=_OPSETS, ir_version=_IR_VERSION)
    return bytes(model.SerializeToString())


def _attribute(name: str, array: NDArray[Any]) -> AttributeProto:
    match array.dtype.kind:
        case "f":
            return AttributeProto(name=name, type=AttributeProto.FLOATS, floats=array.tolist())
        case "S":
            return AttributeProto(name=name, type=AttributeProto.STRINGS, strings=array.tolist())
        case _:
            return AttributeProto(name=name, type=AttributeProto.INTS, ints=array.tolist())
