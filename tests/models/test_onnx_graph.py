"""ONNX graphs run in torch: the options that networks from elsewhere use, against the reference runtime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proofglass.errors import MissingExtra, UsageError
from proofglass.models import onnx_graph
from proofglass.models.onnx_graph import Graph
from real_photos import assert_gradient_is_the_slope, weighed

needs_onnx = pytest.mark.skipif(find_spec("onnx") is None, reason='needs the extra real: pip install "onnx>=1.20"')


def saved(path: Path, *nodes: tuple[str, list[str], dict[str, Any]], **weights: np.ndarray) -> Path:
    """A graph from `x` [1, 2, 9, 8], each node (kind, inputs beside the last output, options) fed by the one before."""
    from onnx import TensorProto, helper, numpy_helper, save

    made, last = [], "x"
    for k, (kind, others, options) in enumerate(nodes):
        made.append(helper.make_node(kind, [last, *others], [f"y{k}"], **options))
        last = f"y{k}"
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 9, 8])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(w, name) for name, w in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    save(model, str(path))
    return path


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


CONV = {"kernel_shape": [3, 3], "group": 1}
CASES: dict[str, tuple[list, dict]] = {
    "uneven padding": ([("Conv", ["w"], {**CONV, "pads": [0, 1, 2, 0]})], {"w": numbers(4, 2, 3, 3)}),
    "even padding, stride, groups, bias": (
        [("Conv", ["w", "b"], {"kernel_shape": [3, 3], "group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1]})],
        {"w": numbers(4, 1, 3, 3), "b": numbers(4)},
    ),
    "dilation": ([("Conv", ["w"], {**CONV, "dilations": [2, 1]})], {"w": numbers(3, 2, 3, 3)}),
    "transposed": (
        [("ConvTranspose", ["w"], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 1, 0]})],
        {"w": numbers(2, 3, 3, 3)},
    ),
    "highest, padded at the end": (
        [("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]})],
        {},
    ),
    "average, norm, sigmoid": (
        [
            ("AveragePool", [], {"kernel_shape": [2, 3]}),
            ("BatchNormalization", ["g", "s", "m", "v"], {"epsilon": 0.01}),
            ("Sigmoid", [], {}),
        ],
        {"g": numbers(2), "s": numbers(2) + 1, "m": numbers(2) - 1, "v": np.abs(numbers(2)) + 0.1},
    ),
    "to a vector": (
        [
            ("Relu", [], {}),
            ("Transpose", [], {"perm": [0, 2, 3, 1]}),
            ("Reshape", ["shape"], {}),
            ("MatMul", ["w"], {}),
            ("Add", ["b"], {}),
            ("Softmax", [], {"axis": 1}),
        ],
        {"shape": np.array([0, -1]), "w": numbers(144, 5), "b": numbers(5)},
    ),
}


@needs_onnx
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_reference_runtime_and_has_its_slope(case: str, tmp_path: Path) -> None:
    nodes, weights = CASES[case]
    path = saved(tmp_path / "graph.onnx", *nodes, **weights)
    x = torch.randn(1, 2, 9, 8, generator=torch.Generator().manual_seed(0))
    graph = Graph(path, f"y{len(nodes) - 1}", "cpu")
    runtime = pytest.importorskip("onnxruntime")
    (expected,) = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x.numpy()})
    torch.testing.assert_close(graph(x), torch.from_numpy(expected), rtol=1e-5, atol=1e-5)
    graph.weights = {name: w.double() if w.is_floating_point() else w for name, w in graph.weights.items()}
    assert_gradient_is_the_slope(lambda x: weighed(graph(x)), x, step=1e-7)


@needs_onnx
def test_it_stops_at_the_output_that_is_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path / "graph.onnx", ("Relu", [], {}), ("Sigmoid", [], {}))
    x = torch.randn(1, 2, 9, 8)
    torch.testing.assert_close(Graph(path, "y0", "cpu")(x), x.relu())


@needs_onnx
@pytest.mark.parametrize(
    ("node", "said"),
    [
        (("Tanh", [], {}), "operations that are not known here: Tanh"),
        (("MaxPool", [], {"kernel_shape": [2, 2], "ceil_mode": 1}), "options that are not known here: .*ceil_mode"),
        (
            ("MaxPool", [], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
            "options that are not known here: auto_pad",
        ),
    ],
)
def test_what_is_not_known_is_named(node, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        Graph(saved(tmp_path / "graph.onnx", node), "y0", "cpu")


def test_without_onnx_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'graph\.onnx: onnx not installed\. Run: pip install "onnx>=1\.20"$'):
        Graph(tmp_path / "graph.onnx", "y0", "cpu")
