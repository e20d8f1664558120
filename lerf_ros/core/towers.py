# SPDX-License-Identifier: Apache-2.0
"""Image towers run over a whole image of any size: feature maps whose windows have embeddings, raw patch features.

Convolutional towers: a window of the feature map as large as a crop's own map goes through the tower's pooling and
projection. Of a crop that is the whole image this is the crop's embedding exactly; elsewhere a window sees past its
edge where a crop sees zero padding.

Vision transformers: MaskCLIP (Zhou et al., ECCV 2022, section 3.2): in the last block every patch attends to itself
alone (its value, then the block's residual and MLP), position embeddings are interpolated, the projected patches of a
window are averaged.
"""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from lerf_ros.core.inference import folded
from lerf_ros.errors import EncoderError


@runtime_checkable
class DenseTower(Protocol):
    """An image tower that can be run over an image of any size.

    Attributes:
        image_size: side of a crop, pixels.
        stride_px: side of a cell of the feature map, pixels.
        max_cells: larger feature maps are too slow or too large.
    """

    image_size: int
    stride_px: int
    max_cells: int

    def cells(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "P h w"]:
        """Return the feature map that windows are cut from; H and W are multiples of `stride_px`."""
        ...

    def pooled(self, windows: Float[Tensor, "N P s s"]) -> Float[Tensor, "N D"]:
        """Return a window's embedding, not normalised."""
        ...

    def patches(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "Q h w"]:
        """Return raw patch features: what neighbours of one object share, unprojected."""
        ...


class ConvolutionalTower:
    """A convolutional timm model in open_clip: features, pooling, projection."""

    def __init__(self, visual: Any, image_size: int, fold: bool, name: str) -> None:
        """Take open_clip's `TimmModel`; `fold` when folding its batch norms is known to change nothing.

        Raises:
            EncoderError: the tower's features are no map that grows with the image.
        """
        self.image_size, self.max_cells = image_size, 16384
        features = _Features(visual.trunk)
        self._features: nn.Module = (folded(features, name) if fold else None) or features
        self._visual = visual
        weight = next(visual.parameters())
        probe = torch.zeros(1, 3, image_size, 2 * image_size, device=weight.device, dtype=weight.dtype)
        try:
            shape = tuple(self._features(probe).shape)
        except Exception as error:  # a tower of fixed size: each raises its own
            raise _cannot(name, f"its features need squares of {image_size} px ({error})") from error
        side = shape[2] if len(shape) == 4 else 0
        if not side or shape[2:] != (side, 2 * side) or image_size % side:
            raise _cannot(name, f"its features of {image_size} x {2 * image_size} px are {shape}, no map of N C H W")
        self.stride_px = image_size // side

    def cells(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "P h w"]:
        """Return the map before pooling."""
        return self._features(x)[0]  # type: ignore[no-any-return]

    def pooled(self, windows: Float[Tensor, "N P s s"]) -> Float[Tensor, "N D"]:
        """Pool and project as the tower does with a crop's map."""
        out: Tensor = self._visual.head(self._visual.trunk.forward_head(windows))
        return out

    def patches(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "Q h w"]:
        """Return the map before pooling."""
        return self.cells(x)


class _Features(nn.Module):
    """A timm model without its head, as a module: so that it can be traced."""

    def __init__(self, trunk: Any) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, x: Tensor) -> Tensor:
        return self.trunk.forward_features(x)  # type: ignore[no-any-return]


class TransformerTower:
    """open_clip's own VisionTransformer."""

    def __init__(self, visual: Any, image_size: int, name: str) -> None:
        """Take the transformer.

        Raises:
            EncoderError: its last block or its pooling is not CLIP's.
        """
        block = visual.transformer.resblocks[-1]
        attention = getattr(block, "attn", None)
        if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_weight is None:
            raise _cannot(name, f"the attention of its last block is {type(attention).__name__}")
        if visual.attn_pool is not None or not attention.batch_first:
            raise _cannot(name, "it pools patches by attention")
        self.image_size, self.stride_px, self.max_cells = image_size, int(visual.patch_size[0]), 4096
        self._visual, self._last, self._attention = visual, block, attention

    def cells(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "P h w"]:
        """Return the last block's output had every patch attended to itself alone, normalised as the tower does."""
        tokens, shape = self._tokens(x)
        attention = self._attention
        width = attention.embed_dim
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[2 * width :]
        values = functional.linear(self._last.ln_1(tokens), attention.in_proj_weight[2 * width :], bias)
        tokens = tokens + self._last.ls_1(attention.out_proj(values))
        tokens = tokens + self._last.ls_2(self._last.mlp(self._last.ln_2(tokens)))
        if not self._visual.final_ln_after_pool:
            tokens = self._visual.ln_post(tokens)
        out: Tensor = tokens.T.reshape(-1, *shape)
        return out

    def pooled(self, windows: Float[Tensor, "N P s s"]) -> Float[Tensor, "N D"]:
        """Average the patches of a window and project."""
        mean = windows.mean(dim=(2, 3))
        if self._visual.final_ln_after_pool:
            mean = self._visual.ln_post(mean)
        out: Tensor = mean if self._visual.proj is None else mean @ self._visual.proj
        return out

    def patches(self, x: Float[Tensor, "1 3 H W"]) -> Float[Tensor, "Q h w"]:
        """Return the keys of the last block, as LERF takes them of DINO."""
        tokens, shape = self._tokens(x)
        attention = self._attention
        part = slice(attention.embed_dim, 2 * attention.embed_dim)
        bias = None if attention.in_proj_bias is None else attention.in_proj_bias[part]
        keys = functional.linear(self._last.ln_1(tokens), attention.in_proj_weight[part], bias)
        return keys.T.reshape(-1, *shape)

    def _tokens(self, x: Float[Tensor, "1 3 H W"]) -> tuple[Float[Tensor, "N P"], tuple[int, int]]:
        """Return what enters the last block, without the class token, and the rows and columns of patches."""
        visual = self._visual
        patches = visual.conv1(x)
        rows, columns = patches.shape[2:]
        tokens = torch.cat([visual.class_embedding[None], patches[0].flatten(1).T])
        tokens = visual.ln_pre((tokens + self._positions(rows, columns))[None])
        for block in visual.transformer.resblocks[:-1]:
            tokens = block(tokens)
        inner: Tensor = tokens[0, 1:]
        return inner, (rows, columns)

    def _positions(self, rows: int, columns: int) -> Float[Tensor, "N P"]:
        """Return the position embeddings, those of patches interpolated to another number of rows and columns."""
        embedding: Tensor = self._visual.positional_embedding
        grid = tuple(self._visual.grid_size)
        if grid == (rows, columns):
            return embedding
        plane = embedding[1:].float().T.reshape(1, -1, *grid)
        plane = functional.interpolate(plane, (rows, columns), mode="bicubic", align_corners=False)
        return torch.cat([embedding[:1], plane[0].flatten(1).T.to(embedding.dtype)])


def dense_tower(visual: Any, image_size: int, fold: bool, name: str) -> DenseTower:
    """Return `visual` as a tower that runs over whole images.

    Raises:
        EncoderError: it cannot.
    """
    from open_clip.timm_model import TimmModel  # slow: only with an encoder there already
    from open_clip.transformer import VisionTransformer

    if isinstance(visual, VisionTransformer):
        return TransformerTower(visual, image_size, name)
    if isinstance(visual, TimmModel):
        return ConvolutionalTower(visual, image_size, fold, name)
    raise _cannot(name, f"its image tower is a {type(visual).__name__}")


def _cannot(name: str, why: str) -> EncoderError:
    return EncoderError(f"{name} has no dense features: {why}; they need a convolutional timm tower or open_clip's "
                        "VisionTransformer (set pyramid.mode to 'tiles', encoder.regulariser to 'none' or 'dino')")
