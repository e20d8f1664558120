# SPDX-License-Identifier: Apache-2.0
"""Parameters: the encoder, the fields, their training, and the surface."""

from dataclasses import dataclass

from lerf_ros.options import option


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
