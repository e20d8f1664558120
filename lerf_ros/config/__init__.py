# SPDX-License-Identifier: Apache-2.0
"""The one place with defaults, units and ranges: a tree of frozen dataclasses.

`config/lerf.yaml`, the node's ROS parameters and the command line are all read from here. A field's metadata holds its
description and its range; `from_flat` and `from_dict` refuse anything else, naming the key and the remedy.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lerf_ros.config.answers import GraspConfig, QueryConfig, ViewsConfig
from lerf_ros.config.change import ChangeConfig
from lerf_ros.config.inputs import InputConfig, KeyframeConfig, WorkspaceConfig
from lerf_ros.config.method import EncoderConfig, FieldConfig, PyramidConfig, SurfaceConfig, TrainConfig
from lerf_ros.config.outputs import OutputsConfig, check_prompts
from lerf_ros.config.runtime import RuntimeConfig
from lerf_ros.errors import ConfigError
from lerf_ros.options import Option, Value, flattened, leaf, replaced, tree_options

__all__ = [
    "ChangeConfig",
    "Config",
    "EncoderConfig",
    "FieldConfig",
    "GraspConfig",
    "InputConfig",
    "KeyframeConfig",
    "OutputsConfig",
    "PyramidConfig",
    "QueryConfig",
    "RuntimeConfig",
    "SurfaceConfig",
    "TrainConfig",
    "ViewsConfig",
    "WorkspaceConfig",
    "from_dict",
    "from_flat",
    "get",
    "options",
    "to_flat",
]


@dataclass(frozen=True)
class Config:
    """All of it. Keys are written `section.key`."""

    input: InputConfig = dataclasses.field(default_factory=InputConfig)
    workspace: WorkspaceConfig = dataclasses.field(default_factory=WorkspaceConfig)
    keyframes: KeyframeConfig = dataclasses.field(default_factory=KeyframeConfig)
    encoder: EncoderConfig = dataclasses.field(default_factory=EncoderConfig)
    pyramid: PyramidConfig = dataclasses.field(default_factory=PyramidConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    surface: SurfaceConfig = dataclasses.field(default_factory=SurfaceConfig)
    change: ChangeConfig = dataclasses.field(default_factory=ChangeConfig)
    query: QueryConfig = dataclasses.field(default_factory=QueryConfig)
    grasp: GraspConfig = dataclasses.field(default_factory=GraspConfig)
    views: ViewsConfig = dataclasses.field(default_factory=ViewsConfig)
    outputs: OutputsConfig = dataclasses.field(default_factory=OutputsConfig)
    runtime: RuntimeConfig = dataclasses.field(default_factory=RuntimeConfig)

    def __post_init__(self) -> None:
        """Check what one value alone cannot tell.

        Raises:
            ConfigError: values contradict each other.
        """
        low, high = self.workspace.min_m, self.workspace.max_m
        if len(low) != 3 or len(high) != 3 or any(a >= b for a, b in zip(low, high, strict=True)):
            raise ConfigError(f"workspace.min_m {low} must be three numbers, each below workspace.max_m {high}")
        for small, large in (
            ("pyramid.min_tile", "pyramid.max_tile"),
            ("query.min_scale_m", "query.max_scale_m"),
            ("input.depth_min_m", "input.depth_max_m"),
            ("train.near_m", "train.far_m"),
            ("views.min_distance_m", "views.max_distance_m"),
            *((("field.min_resolution", "field.language_split_resolution"),
               ("field.language_split_resolution", "field.language_max_resolution"))
              if self.field.language_grids == 2 else ()),
        ):  # fmt: skip
            if get(self, small) >= get(self, large):
                raise ConfigError(f"{small} = {get(self, small)} must be below {large} = {get(self, large)}")
        if self.query.scale_spacing == "geometric" and self.query.min_scale_m <= 0:
            raise ConfigError("query.min_scale_m must be above 0 for query.scale_spacing = geometric")
        check_prompts(self.outputs, self.query)


def options() -> Iterator[Option]:
    """Yield every leaf of `Config` in order, with its metadata."""
    yield from tree_options(Config())


def get(config: Config, key: str) -> Any:
    """Return the value at `section.key`."""
    return leaf(config, key)


def to_flat(config: Config) -> dict[str, Value]:
    """Return `{section.key: value}` for the whole tree."""
    return {o.key: get(config, o.key) for o in options()}


def from_flat(values: Mapping[str, object], base: Config | None = None) -> Config:
    """Return `base` (default: the defaults) with the given `{section.key: value}` replaced.

    Raises:
        ConfigError: a key is unknown (the nearest one is named), or a value has the wrong type or is out of range.
    """
    return replaced(base or Config(), values)


def from_dict(tree: Mapping[str, object], base: Config | None = None) -> Config:
    """As `from_flat`, from a nested `{section: {key: value}}` mapping (a parameter file).

    Raises:
        ConfigError: as `from_flat`, or a section is not a mapping.
    """
    return from_flat(flattened(tree), base)
