# SPDX-License-Identifier: Apache-2.0
"""Writes the model card from what was measured."""

import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from lerf_ros.sim.catalog import CATEGORIES, COLOURS, HELD_COLOURS
from lerf_ros.tinyclip.model import CONTEXT, EMBED_DIM, MERGES, VOCABULARY, WEIGHTS_FILE
from lerf_ros.tinyclip.vocabulary import IMAGE_PX, TEST_SEED, TRAIN_SEED, VALIDATION_SEED

_PACKAGES: Final = ("torch", "open_clip_torch", "timm", "mujoco", "numpy", "safetensors", "pillow")

_TEXT: Final = """# tinyclip: the bundled encoder

An OpenCLIP model that this project trained from scratch on renders of its own simulator (`lerf_ros.sim`), so that the
demonstration and the tests need no download. **It knows that simulator's tabletop and nothing else.** For a real robot
set `encoder.model` to a real checkpoint, such as ViT-B-16 with laion2b_s34b_b88k.

- Files: `{weights}` (fp16, {megabytes:.1f} MB, sha256 `{sha256}`), `open_clip_config.json`, the first {merges} merges
  of open_clip's own BPE vocabulary, `calibration.json` (evidence to probability).
- Loads as `local-dir:<this folder>`; the tokenizer takes the BPE file joined to the folder:
  `open_clip.get_tokenizer("local-dir:<folder>", bpe_path="<folder>/bpe_simple_vocab_4000.txt.gz")`.
- Vision: timm resnet10t, {pixels} x {pixels} pixels. Text: width 64, 3 layers, context {context}, vocabulary
  {vocabulary}. Embeddings of {dim} numbers.
- Licence: Apache-2.0, as the project: shapes, textures, captions and weights are its own. The BPE merges are part of
  open_clip (MIT).

## What it was trained on
Categories: {categories}. Colours: {colours}. Tables and floors by material, parts (handle, head, cap, spout, lid) and
six printed words.

{crops:,} crops of 64 x 64 pixels from {scenes} scenes (seeds from {train_seed}), {steps} steps of {batch} crops =
{samples:,} samples, one thread, {precision}, seed {seed}, AdamW with a highest rate of {rate} and a cosine schedule,
weights averaged (decay {ema}). Validation scenes have seeds from {validation_seed}, test scenes from {test_seed}.
{note}

Withheld from rendering, to measure composition: {held}.
Disclosed, since it touches them: the *texts* of withheld pairs take part in one term, which pulls "a red bowl" towards
the sum of "a bowl" and "a red object" (never an image, never as a negative). Three in ten crops are recoloured (grey,
channels permuted, hue rotated) and then captioned without a colour; their pixels can come near a withheld pair's.
Objects in colours without a word keep clear of the withheld colours of their category.

Further terms: contrastive with a mask for what is also true of other crops; the canonical phrases of LERF as true
negatives; all categories, colours and pairs as structured negatives; linear heads (dropped); LERF's own relevancy as a
binary loss, later also for near misses; phrases of random tokens as unknown words.

## Measured on test scenes
Seven objects, four views like the demonstration's wrist scan, LERF's pyramid and relevancy with its four canonical
phrases, scale chosen by the mean of the best 0.2 % of points. "Four views" averages a point's embeddings over the
views by true depth: it stands in for a trained field. A hit is the best point lying on the right object; chance is the
share of points that would be right.

{tables}
## What it does not know
Anything outside that list, any real photograph, any sentence longer than a noun phrase. Parts are found on the right
object more often than on the part itself. Printed words are barely read at 64 pixels. White against gray depends on
the light.

## Made with
{versions}, Python {python}, {machine}. `make weights` repeats it; other processors give other bits and about the same
scores.
"""


def _table(title: str, told: dict[str, Any]) -> str:
    rows = [
        f"### {title}",
        "| query | n | one view | four views | four views, within 2 cm | chance |",
        "|---|---|---|---|---|---|",
    ]
    for kind, r in told["localisation"].items():
        rows.append(
            f"| {kind} | {r['n']} | {r['one_view']:.2f} | {r['four_views']:.2f} | {r['within_2cm']:.2f} "
            f"| {r['chance']:.2f} |"
        )
    present = told["present"]
    rows += [
        "",
        f"Score of present colour+category queries: mean {present['mean']:.2f}, 10th percentile {present['p10']:.2f} "
        f"(n = {present['n']}). Against them:",
        "",
        "| absent query | n | AUROC | mean score |",
        "|---|---|---|---|",
    ]
    for kind, r in told["absent"].items():
        rows.append(f"| {kind.replace('_', ' ')} | {r['n']} | {r['auroc']:.3f} | {r['mean']:.2f} |")
    return "\n".join(rows) + "\n"


def write_card(folder: Path, work: Path, scenes: int, note: str = "") -> None:
    """Writes `README.md` into the model folder from `scores_test.json` and the run's `config.json`."""
    scores = json.loads((work / "scores_test.json").read_text())
    run = json.loads((work / "run" / "config.json").read_text())
    weights = (folder / WEIGHTS_FILE).read_bytes()
    held = "; ".join(f"{c}: {' and '.join(k)}" for c, k in HELD_COLOURS.items())
    seen = _table("Colour-category pairs that occurred in training", scores["seen"])
    text = _TEXT.format(
        weights=WEIGHTS_FILE,
        megabytes=len(weights) / 1e6,
        sha256=hashlib.sha256(weights).hexdigest(),
        merges=MERGES,
        pixels=IMAGE_PX,
        context=CONTEXT,
        vocabulary=VOCABULARY,
        dim=EMBED_DIM,
        categories=", ".join(CATEGORIES),
        colours=", ".join(COLOURS),
        crops=run["crops"],
        scenes=scenes,
        steps=run["steps"],
        batch=run["batch"],
        samples=run["steps"] * run["batch"],
        precision="bfloat16 autocast" if run["bfloat16"] else "float32",
        seed=run["seed"],
        rate=run["learning_rate"],
        ema=run["ema_decay"],
        train_seed=TRAIN_SEED,
        validation_seed=VALIDATION_SEED,
        test_seed=TEST_SEED,
        note=note,
        held=held,
        tables=f"{seen}\n{_table('Withheld pairs', scores['held'])}",
        versions=", ".join(f"{p} {version(p)}" for p in _PACKAGES),
        python=platform.python_version(),
        machine=platform.machine(),
    )
    (folder / "README.md").write_text(text)
