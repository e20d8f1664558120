# SPDX-License-Identifier: Apache-2.0
"""LERF's own evaluation on its own dataset: map every scene from colour alone, ask, print our figures beside the papers'.

    run_lerf_dataset(
        folder: Path, config: Config, encoder: ImageTextEncoder, *, seconds: float = 0.0, steps: int = 0,
        scenes: Sequence[str] = (), threads: int = 1, progress: Progress = silent, make_view: MakeView = field_view,
    ) -> tuple[dict[str, Any], str]

`folder` holds scenes in LERF's layout (`data.lerf_scenes`), in LERF-OVS's (`data.lerf_ovs`), or both; what is labelled
decides which protocols run. Each scene is embedded and trained for `seconds` of wall time, or for exactly `steps` steps
(one of the two must be positive). `scenes` names some of them; none: all. `progress(scene, what, share)` is told how far
it is. Returned are the report, which can be written as JSON as it is, and the same as Markdown. A fault of the dataset
is a `DatasetError` raised before anything is trained.
"""
