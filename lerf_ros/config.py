# SPDX-License-Identifier: Apache-2.0
"""The one place with defaults, units and ranges: a tree of frozen dataclasses.

`config/lerf.yaml`, the node's ROS parameters and the command line are all read from here. A field's metadata holds its
description and its range; `from_flat` and `from_dict` refuse anything else, naming the key and the remedy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lerf_ros.errors import ConfigError
from lerf_ros.options import Option, Value, flattened, leaf, option, replaced, tree_options


@dataclass(frozen=True)
class InputConfig:
    """What arrives, and what is refused (counted by cause) before it reaches the map."""

    world_frame: str = option("base_link", "Frame of the map, of all poses and answers (REP 105; an arm's base)")
    pose_source: str = option("tf", "Camera pose: 'tf' at the image stamp, or the 'pose' topic", choices=("tf", "pose"))
    use_depth: bool = option(True, "Subscribe to depth; without it the field learns geometry from colour alone")
    reliability: str = option(
        "best_effort",
        "QoS of camera subscriptions; best_effort receives from both kinds of publisher",
        choices=("best_effort", "reliable"),
    )
    queue_depth: int = option(10, "QoS history depth of camera subscriptions, messages", ge=1, le=1000)
    sync_slop_s: float = option(0.02, "Largest stamp difference of image, depth, info and pose, seconds",
                                ge=0.0, le=1.0)
    tf_timeout_s: float = option(0.5, "How long a frame waits for its transform before it is dropped", ge=0.0, le=10.0)
    max_age_s: float = option(10.0, "Frames older than this (node clock) are dropped; 0 = any age", ge=0.0, le=1e9)
    max_future_s: float = option(0.5, "Frames stamped further ahead than this are dropped", ge=0.0, le=3600.0)
    max_pixels: int = option(8_294_400, "Larger images are refused, pixels (default: 4K)", ge=1, le=100_000_000)
    depth_min_m: float = option(0.10, "Nearer depth is no measurement (and the pixel is not trained on)",
                                ge=0.0, le=10.0)
    depth_max_m: float = option(5.0, "Farther depth is no measurement", ge=0.1, le=1000.0)


@dataclass(frozen=True)
class WorkspaceConfig:
    """The metric box the map resolves finely; all beyond it is contracted (mip-NeRF 360) and never answered with."""

    min_m: tuple[float, ...] = option((-0.3, -0.8, -0.15), "Lower corner x, y, z in the world frame, metres",
                                      ge=-1e3, le=1e3)
    max_m: tuple[float, ...] = option((1.0, 0.8, 0.85), "Upper corner x, y, z in the world frame, metres",
                                      ge=-1e3, le=1e3)


@dataclass(frozen=True)
class KeyframeConfig:
    """Which frames become keyframes."""

    min_translation_m: float = option(0.05, "A keyframe is at least this far from the last one, or ...",
                                      ge=0.0, le=10.0)
    min_rotation_rad: float = option(0.12, "... turned at least this much", ge=0.0, le=3.2)
    max_count: int = option(300, "Keyframe budget; the most redundant one is evicted past it", ge=2, le=100_000)


@dataclass(frozen=True)
class EncoderConfig:
    """The image-text encoder, and what it is asked to see."""

    model: str = option(
        "bundled",
        "'bundled', an open_clip name ('ViT-B-16'), or an open_clip schema ('local-dir:/path', 'hf-hub:...')",
    )
    pretrained: str = option("", "open_clip pretrained tag or checkpoint path, for a plain open_clip name")
    device: str = option("auto", "torch device of the encoder: cpu, cuda, or auto = CUDA where there is one")
    batch_size: int = option(128, "Crops encoded at once", ge=1, le=4096)
    regulariser: str = option(
        "auto",
        "Patch features of the DINO loss (train.dino_weight): auto = dino when its file is given, else the encoder's",
        choices=("auto", "dino", "encoder", "none"),
    )
    regulariser_weights: str = option("", "File with the weights of DINO ViT-S/8 (never fetched)")


@dataclass(frozen=True)
class PyramidConfig:
    """Multi-scale crops of an image (LERF section 3.2): tile sizes as fractions of the image height."""

    mode: str = option("tiles", "Embed crop by crop, or windows of one pass of the image tower a level",
                       choices=("tiles", "dense"))
    border: str = option("inside", "Tiles inside the image, or half a tile of black all round as in LERF",
                         choices=("inside", "padded"))
    min_tile: float = option(0.08, "Smallest tile / image height", ge=0.02, le=1.0)
    max_tile: float = option(0.5, "Largest tile / image height", ge=0.02, le=1.0)
    levels: int = option(7, "Number of tile sizes, linear between the two", ge=2, le=32)


@dataclass(frozen=True)
class FieldConfig:
    """Density + colour grid (Instant-NGP) and the language grid (LERF section 3.4)."""

    backend: str = option("auto", "Hash grid: auto = tcnn on CUDA, numba on a CPU",
                          choices=("auto", "numba", "torch", "tcnn"))
    device: str = option("auto", "Where the fields are trained; auto = CUDA where there is one",
                         choices=("auto", "cpu", "cuda"))
    levels: int = option(14, "Levels of the density and colour grid", ge=1, le=32)
    features: int = option(2, "Features a level of it", ge=1, le=8)
    log2_table: int = option(17, "log2 of its rows a level", ge=8, le=24)
    min_resolution: int = option(16, "Cells a side of its coarsest level", ge=2, le=1024)
    max_resolution: int = option(1024, "Cells a side of its finest level", ge=2, le=65536)
    hidden: int = option(32, "Width of the density and colour networks", ge=8, le=512)
    language_grids: int = option(1, "Language grids: one, or a coarse and a fine one (LERF's code)", ge=1, le=2)
    language_levels: int = option(8, "Levels of a language grid", ge=1, le=32)
    language_features: int = option(4, "Features a level of it", ge=1, le=8)
    language_log2_table: int = option(15, "log2 of its rows a level", ge=8, le=24)
    language_split_resolution: int = option(128, "Where two grids meet, cells a side", ge=2, le=65536)
    language_max_resolution: int = option(512, "Cells a side of the finest language level", ge=2, le=65536)
    language_hidden: int = option(128, "Width of the language network", ge=16, le=1024)
    language_layers: int = option(2, "Hidden layers of the language network", ge=1, le=8)
    appearance: bool = option(True, "Learn a per-keyframe exposure (gain and offset a channel)")
    refine_cameras: bool = option(True, "Learn small camera corrections, for the rendering of colour alone")


@dataclass(frozen=True)
class TrainConfig:
    """One optimisation step."""

    rays: int = option(1024, "Rays a step for density and colour", ge=16, le=1_000_000)
    samples: int = option(16, "Samples a ray", ge=2, le=512)
    depth_rays: int = option(512, "Rays a step that measured depth supervises", ge=0, le=1_000_000)
    language_rays: int = option(2048, "Rays a step for language", ge=16, le=1_000_000)
    language_every: int = option(1, "A language step every n steps", ge=1, le=100)
    language_samples: int = option(4, "Top-k samples a ray of the language rendering by density", ge=1, le=64)
    language_at: str = option("auto", "Where language is learned: 'auto' = the measured surface, else by density",
                              choices=("auto", "density"))
    grid_lr: float = option(2e-2, "Adam rate of the density and colour grid", ge=1e-6, le=1.0)
    network_lr: float = option(1e-2, "Adam rate of its networks", ge=1e-6, le=1.0)
    language_grid_lr: float = option(1e-2, "Adam rate of the language grid", ge=1e-6, le=1.0)
    language_network_lr: float = option(2e-3, "Adam rate of the language network", ge=1e-6, le=1.0)
    half_life_steps: int = option(1500, "Steps in which both rates fall to a half ...", ge=10, le=1_000_000)
    min_lr_ratio: float = option(0.1, "... but never below this share (new keyframes must still be learned)",
                                 ge=0.0, le=1.0)
    depth_weight: float = option(0.03, "Weight of the depth loss", ge=0.0, le=100.0)
    free_space_weight: float = option(0.01, "Weight of the free-space loss", ge=0.0, le=100.0)
    clip_loss: str = option("cosine", "Language loss: 1 - cosine, or Huber(1.25) summed (LERF's code)",
                            choices=("cosine", "huber"))
    clip_weight: float = option(1.0, "Weight of the language loss", ge=0.0, le=100.0)
    dino_weight: float = option(0.0, "Weight of the loss of the DINO regulariser; 0 = none", ge=0.0, le=100.0)
    weight_decay: float = option(0.0, "Weight decay of the language field (in Adam's gradient)", ge=0.0, le=1.0)
    recent_share: float = option(0.3, "Share of rays drawn from the newest keyframes (DISORF replay)", ge=0.0, le=1.0)
    seed: int = option(0, "Seed of initial weights and batches", ge=0, le=2**31 - 1)
    near_m: float = option(0.05, "Nearest sample on a ray, metres", ge=1e-3, le=10.0)
    far_m: float = option(20.0, "Farthest sample on a ray, metres", ge=0.1, le=10_000.0)


@dataclass(frozen=True)
class SurfaceConfig:
    """The surface map that queries answer with."""

    voxel_m: float = option(0.005, "Spacing of surface points, metres", ge=0.001, le=0.5)
    max_points: int = option(60_000, "Most points; the voxel size grows when there are more", ge=1000, le=5_000_000)
    min_views: int = option(3, "Points seen by fewer keyframes are not answered with (LERF visibility filter)",
                            ge=1, le=100)


@dataclass(frozen=True)
class QueryConfig:
    """How phrases are answered."""

    rule: str = option(
        "objects",
        "What a phrase is matched with: whole 'objects', or the hottest point ('peak', as LERF does)",
        choices=("objects", "peak"),
    )
    scales: int = option(5, "Physical scales cached a surface point", ge=1, le=30)
    scale_spacing: str = option("geometric", "Spacing of the scales", choices=("geometric", "linear"))
    min_scale_m: float = option(0.05, "Smallest scale, metres", ge=0.0, le=10.0)
    max_scale_m: float = option(0.35, "Largest scale, metres", ge=0.01, le=100.0)
    top_fraction: float = option(
        0.002, "Share of points whose mean chooses one scale for a whole view (not one hottest point)", ge=1e-5, le=1.0
    )
    min_keyframes: int = option(6, "Before this many keyframes the answer is NOT_READY", ge=1, le=1000)
    min_steps: int = option(120, "Before this many training steps the answer is NOT_READY", ge=1, le=1_000_000)
    found_probability: float = option(0.5, "FOUND from this probability on", ge=0.0, le=1.0)
    ambiguous_ratio: float = option(
        0.7, "A second thing with this share of the best one's relevancy above 0.5 makes it AMBIGUOUS", ge=0.0, le=1.0
    )
    stale_after_s: float = option(0.0, "STALE when the newest keyframe is older; 0 = never", ge=0.0, le=1e9)
    max_prompts: int = option(64, "Most phrases a request", ge=1, le=10_000)
    max_phrase_bytes: int = option(1024, "Longest phrase, bytes of UTF-8", ge=1, le=1_000_000)
    max_points: int = option(20_000, "Most cloud points a phrase when the request leaves it at 0", ge=1, le=5_000_000)


@dataclass(frozen=True)
class GraspConfig:
    """The parallel gripper and how it may approach."""

    max_opening_m: float = option(0.08, "Largest distance between the fingers", ge=0.005, le=0.5)
    finger_depth_m: float = option(0.04, "How far the fingers reach over the object, along the approach",
                                   ge=0.005, le=0.3)
    finger_width_m: float = option(0.024, "Finger width across the closing axis", ge=0.002, le=0.1)
    finger_thickness_m: float = option(0.012, "Finger thickness along the closing axis", ge=0.001, le=0.1)
    tip_beyond_tcp_m: float = option(0.015, "How far the fingertips reach beyond the tcp", ge=0.0, le=0.2)
    clearance_m: float = option(0.004, "Fingertips stay this far above the support", ge=0.0, le=0.1)
    margin_m: float = option(0.012, "Opening beyond the object's width", ge=0.0, le=0.1)


@dataclass(frozen=True)
class RuntimeConfig:
    """Threads, queues and time-outs."""

    mailbox_size: int = option(4, "Frames waiting for the encoder; the oldest is dropped, counted", ge=1, le=1000)
    threads: int = option(2, "CPU threads shared by encoder and trainer (each gets half while both work)", ge=1, le=256)
    max_cpu_fraction: float = option(
        1.0,
        "Largest share of runtime.threads that training may use over time (to stop it, call ~/set_training)",
        ge=0.01,
        le=1.0,
    )
    pause_for_queries: bool = option(True, "No training step begins while a query is answered (at most half the time)")
    snapshot_period_s: float = option(
        3.0, "Longest time between published snapshots while training; shorter while they are cheap", ge=0.1, le=3600.0
    )
    command_timeout_s: float = option(10.0, "Longest wait for the trainer to run a command", ge=0.1, le=3600.0)
    join_timeout_s: float = option(10.0, "Longest wait for a thread at shutdown", ge=0.1, le=600.0)
    idle_steps: int = option(6000, "Training rests after this many steps without a new keyframe", ge=1, le=10_000_000)
    maps_dir: str = option("maps", "Folder that ~/save_map writes below; relative to where the node was started")
    status_period_s: float = option(1.0, "Period of ~/status", ge=0.05, le=60.0)


@dataclass(frozen=True)
class Config:
    """All of it. Keys are written `section.key`."""

    input: InputConfig = InputConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
    keyframes: KeyframeConfig = KeyframeConfig()
    encoder: EncoderConfig = EncoderConfig()
    pyramid: PyramidConfig = PyramidConfig()
    field: FieldConfig = FieldConfig()
    train: TrainConfig = TrainConfig()
    surface: SurfaceConfig = SurfaceConfig()
    query: QueryConfig = QueryConfig()
    grasp: GraspConfig = GraspConfig()
    runtime: RuntimeConfig = RuntimeConfig()

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
            *((("field.min_resolution", "field.language_split_resolution"),
               ("field.language_split_resolution", "field.language_max_resolution"))
              if self.field.language_grids == 2 else ()),
        ):  # fmt: skip
            if get(self, small) >= get(self, large):
                raise ConfigError(f"{small} = {get(self, small)} must be below {large} = {get(self, large)}")
        if self.query.scale_spacing == "geometric" and self.query.min_scale_m <= 0:
            raise ConfigError("query.min_scale_m must be above 0 for query.scale_spacing = geometric")


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
