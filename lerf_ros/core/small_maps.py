# SPDX-License-Identifier: Apache-2.0
"""Layers of a convolutional tower that a CPU computes faster in another way, with the same result.

Crops are small, so the last maps of a tower are of a few cells, and oneDNN's convolutions spend most of their time on
the zeros around them: there a convolution is a plain matrix product. And torch's max pooling takes bfloat16 apart value
by value, where the bits of numbers that are not negative can be compared as integers.
"""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

MAX_CELLS_IN, MAX_CELLS_OUT = 16, 4
"""Of the maps of a convolution that becomes a matrix: the matrix is not much larger than what the kernel touches."""

INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


class MatrixConvolution(nn.Module):
    """A convolution on maps of one size, as one matrix: a row for each output channel and cell."""

    def __init__(self, layer: nn.Conv2d, height: int, width: int) -> None:
        super().__init__()
        cells = layer.in_channels * height * width
        each = torch.eye(cells).view(cells, height, width, layer.in_channels).permute(0, 3, 1, 2)
        weight = layer.weight.float()
        answer = functional.conv2d(each, weight, None, layer.stride, layer.padding, layer.dilation)
        self._shape = (*answer.shape[2:], layer.out_channels)
        matrix = answer.permute(0, 2, 3, 1).reshape(cells, -1).T.contiguous()
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.float()
        self.weight = nn.Parameter(matrix, requires_grad=False)
        self.bias = nn.Parameter(bias.repeat(answer.shape[2] * answer.shape[3]), requires_grad=False)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D h w"]:
        """Return what the convolution returns, channels last in memory."""
        flat = x.permute(0, 2, 3, 1).reshape(len(x), -1)  # no copy of a channels-last map
        return functional.linear(flat, self.weight, self.bias).view(len(x), *self._shape).permute(0, 3, 1, 2)


class PositiveMaxPool(nn.Module):
    """ReLU, then max pooling of 3 x 3 every two cells with a border of one: on maps of even sides."""

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C h w"]:
        """Return the largest of nine neighbours, at least 0: of positive floats as of their bits."""
        bits = x.permute(0, 2, 3, 1).view(INTEGERS[x.dtype])
        rows = torch.maximum(bits[:, 0::2], bits[:, 1::2])
        torch.maximum(rows[:, 1:], bits[:, 1:-1:2], out=rows[:, 1:])
        out = torch.maximum(rows[:, :, 0::2], rows[:, :, 1::2])
        torch.maximum(out[:, :, 1:], rows[:, :, 1:-1:2], out=out[:, :, 1:])
        return out.clamp_(min=0).view(x.dtype).permute(0, 3, 1, 2)


def quicker(tower: nn.Module, side: int, dtype: torch.dtype) -> nn.Module | None:
    """Return a copy of a traced tower for crops of one size, computing in `dtype`; None if it is not traced.

    Its answers are the tower's but for rounding, which the caller checks.

    Args:
        tower: as `inference.folded` returns it.
        side: of a crop, pixels.
        dtype: of weights and maps.
    """
    if not isinstance(tower, fx.GraphModule):
        return None
    out = copy.deepcopy(tower)
    ShapeProp(out).propagate(torch.zeros(1, 3, side, side))
    layers = dict(out.named_modules())
    for node in list(out.graph.nodes):
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if layer is None:
            continue
        before = node.args[0]
        if _becomes_matrix(layer, _shape(before), _shape(node)):
            out.set_submodule(str(node.target), MatrixConvolution(layer, *_shape(before)[2:]))
        elif _is_pool(layer, _shape(before)) and isinstance(layers.get(str(before.target)), nn.ReLU):
            out.set_submodule(str(node.target), PositiveMaxPool())
            if len(before.users) == 1:
                node.replace_input_with(before, before.args[0])
                out.graph.erase_node(before)
    out.recompile()
    return out.to(dtype).to(memory_format=torch.channels_last)


def _shape(node: fx.Node) -> tuple[int, ...]:
    found = node.meta.get("tensor_meta")
    return tuple(found.shape) if found is not None else ()


def _becomes_matrix(layer: nn.Module, before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    if not isinstance(layer, nn.Conv2d) or layer.groups != 1 or layer.padding_mode != "zeros":
        return False
    if layer.kernel_size == (1, 1):  # is a matrix product already
        return False
    return before[2] * before[3] <= MAX_CELLS_IN and after[2] * after[3] <= MAX_CELLS_OUT


def _is_pool(layer: nn.Module, before: tuple[int, ...]) -> bool:
    if not isinstance(layer, nn.MaxPool2d) or layer.ceil_mode or before[2] % 2 or before[3] % 2:
        return False
    return all(value in (want, (want, want)) for value, want in (
        (layer.kernel_size, 3), (layer.stride, 2), (layer.padding, 1), (layer.dilation, 1)))  # fmt: skip
