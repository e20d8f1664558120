# SPDX-License-Identifier: Apache-2.0
"""Parameters: what is published besides answers, how much of it and how often."""

from dataclasses import dataclass

from lerf_ros.config.answers import QueryConfig
from lerf_ros.config.wording import phrase_fault
from lerf_ros.errors import ConfigError
from lerf_ros.options import option


@dataclass(frozen=True)
class OutputsConfig:
    """Standing prompts, clouds, the heat image, markers, diagnostics."""

    prompts: tuple[str, ...] = option(
        ("",),
        'Standing prompts, asked of every new map: see ~/relevancy/prompt_<n> (n from 0), ~/markers. [""] = none',
        when="any time",
    )
    max_prompts: int = option(16, "Most standing prompts", ge=1, le=64, when="any time")
    max_cloud_points: int = option(
        50_000, "Most points of ~/cloud and of each ~/relevancy/prompt_<n>; a larger map is thinned out evenly",
        ge=1, le=5_000_000, when="any time",
    )  # fmt: skip
    period_s: float = option(
        1.0, "Least time between two clouds, answers or marker arrays, seconds", ge=0.0, le=3600.0, when="any time"
    )
    image_hz: float = option(
        2.0, "Most pictures a second on ~/relevancy_image; 0 = none", ge=0.0, le=30.0, when="any time"
    )
    image_camera: str = option(
        "", "Frame (header.frame_id) of the camera whose images ~/relevancy_image shows; empty: any", when="any time"
    )
    max_render_pixels: int = option(
        1_000_000, "Largest image that ~/render makes, pixels", ge=1, le=8_294_400, when="any time"
    )
    image_timeout_s: float = option(
        1.0, "/diagnostics warns of a camera that has sent nothing for this long; after five times that it is an error",
        ge=0.1, le=3600.0, when="any time",
    )  # fmt: skip

    @property
    def phrases(self) -> tuple[str, ...]:
        """The standing prompts; none where the parameter says so."""
        return () if self.prompts == ("",) else self.prompts


def check_prompts(outputs: OutputsConfig, query: QueryConfig) -> None:
    """Check the standing prompts against the limits that hold for them and for requests.

    Raises:
        ConfigError: too many, or one that cannot be asked, or one twice.
    """
    prompts = outputs.phrases
    for name, limit in (("outputs.max_prompts", outputs.max_prompts), ("query.max_prompts", query.max_prompts)):
        if len(prompts) > limit:
            raise ConfigError(f"outputs.prompts: {len(prompts)} phrases are more than {name} = {limit}: name fewer, "
                              "and ask ~/query for the rest")  # fmt: skip
    for n, phrase in enumerate(prompts):
        if fault := phrase_fault(phrase, query.max_phrase_bytes):
            raise ConfigError(f"outputs.prompts: of phrase {n}, {fault}")
        if phrase in prompts[:n]:
            raise ConfigError(f"outputs.prompts: phrases {prompts.index(phrase)} and {n} are both {phrase!r}: name "
                              "each thing once")  # fmt: skip
