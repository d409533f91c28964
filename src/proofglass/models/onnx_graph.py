"""An ONNX graph of plain operations, run in torch node by node, so that gradients reach its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    import torch

INSTALL = 'pip install "onnx>=1.20"'


class Graph:
    """The part of a file's graph that leads to `output`, a function of its one input, as the file lays that out.

    weights: tensors by name, float ones on `device`; a test may replace them by float64. Raises UsageError for an
    operation, or an option of one, that is not known here, MissingExtra without the package onnx.
    """

    def __init__(self, path: Path, output: str, device: str) -> None:
        if find_spec("onnx") is None:
            raise MissingExtra(f"{path.name}: onnx not installed. Run: {INSTALL}")
        import onnx
        import torch
        from onnx import numpy_helper

        graph = onnx.load(str(path)).graph
        self.output, self.device = output, torch.device(device)
        self.weights = {w.name: torch.from_numpy(numpy_helper.to_array(w).copy()).to(device) for w in graph.initializer}
        self.nodes = [(n.op_type, list(n.input), n.output[0], _attributes(n, path)) for n in graph.node]
        if unknown := {kind for kind, *_ in self.nodes} - set(_operations()):
            raise UsageError(f"{path}: has operations that are not known here: {', '.join(sorted(unknown))}")
        self.input = next(i.name for i in graph.input if i.name not in self.weights)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        operations, values = _operations(), {**self.weights, self.input: x}
        for kind, inputs, output, options in self.nodes:
            values[output] = operations[kind](*(values[name] for name in inputs), **options)
            if output == self.output:
                break
        return values[self.output]


def _attributes(node: Any, path: Path) -> dict[str, Any]:
    """ONNX's words in torch's. pads: up, left, down, right."""
    from onnx.helper import get_attribute_value

    found = {a.name: get_attribute_value(a) for a in node.attribute}
    if found.get("auto_pad", b"NOTSET") != b"NOTSET" or found.get("ceil_mode") or found.get("count_include_pad"):
        raise UsageError(f"{path}: node {node.name} has options that are not known here: {', '.join(sorted(found))}")
    if node.op_type == "BatchNormalization":
        return {"eps": found["epsilon"]}
    if node.op_type == "Transpose":
        return {"order": found["perm"]}
    if node.op_type == "Softmax":
        return {"dim": found["axis"]}
    if "kernel_shape" not in found:
        return {}
    told = {"stride": found.get("strides", [1, 1]), "pads": found.get("pads", [0, 0, 0, 0])}
    if node.op_type.endswith("Pool"):
        return {"kernel": found["kernel_shape"], **told}
    return {**told, "dilation": found.get("dilations", [1, 1]), "groups": found.get("group", 1)}


def _operations() -> Mapping[str, Callable[..., torch.Tensor]]:
    import torch
    import torch.nn.functional as F

    def convolve(x: Any, weight: Any, bias: Any = None, *, pads: list[int], **options: Any) -> torch.Tensor:
        up, left, down, right = pads
        if (up, left) == (down, right):
            return F.conv2d(x, weight, bias, padding=(up, left), **options)
        return F.conv2d(F.pad(x, (left, right, up, down)), weight, bias, **options)

    def expand(x: Any, weight: Any, bias: Any = None, *, pads: list[int], **options: Any) -> torch.Tensor:
        up, left, down, right = pads
        found = F.conv_transpose2d(x, weight, bias, **options)
        return found[..., up : found.shape[-2] - down, left : found.shape[-1] - right]

    def highest(x: Any, kernel: list[int], stride: list[int], pads: list[int]) -> torch.Tensor:
        up, left, down, right = pads
        return F.max_pool2d(F.pad(x, (left, right, up, down), value=-torch.inf), kernel, stride)

    def average(x: Any, kernel: list[int], stride: list[int], pads: list[int]) -> torch.Tensor:
        if any(pads):
            raise UsageError(f"AveragePool: expected no padding, found {pads}")
        return F.avg_pool2d(x, kernel, stride)

    def normalise(x: Any, gain: Any, shift: Any, mean: Any, variance: Any, eps: float) -> torch.Tensor:
        # Written out: the gradient through torch's own, in evaluation mode, depends on how a batch of one is strided.
        scale = gain / (variance + eps).sqrt()
        found: torch.Tensor = x * scale[:, None, None] + (shift - mean * scale)[:, None, None]
        return found

    def reshape(x: Any, sides: Any) -> torch.Tensor:
        # 0 keeps a side.
        found: torch.Tensor = x.reshape([n or x.shape[k] for k, n in enumerate(sides.tolist())])
        return found

    return {
        "Conv": convolve,
        "ConvTranspose": expand,
        "BatchNormalization": normalise,
        "MaxPool": highest,
        "AveragePool": average,
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Softmax": torch.softmax,
        "Add": torch.add,
        "MatMul": torch.matmul,
        "Transpose": lambda x, order: x.permute(*order),
        "Reshape": reshape,
    }
