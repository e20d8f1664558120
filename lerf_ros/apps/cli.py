# SPDX-License-Identifier: Apache-2.0
"""`python -m lerf_ros`: one verb a module; heavy imports wait until a verb runs."""

import typer

from lerf_ros.apps import demo, measure, query, replay, train
from lerf_ros.apps import eval as evaluation

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Find anything by name in 3D, while the camera still moves: a language embedded radiance field for ROS 2.\n\n"
    "Start with `demo`; map a recorded capture with `train`, ask the map with `query`; feed a capture to the running "
    "node with `replay`. Every verb explains itself: `python -m lerf_ros VERB --help`.",
)
app.command("demo")(demo.run)
app.command("train")(train.run)
app.command("query")(query.run)
app.command("measure")(measure.run)
app.command("replay")(replay.run)
app.command("eval")(evaluation.run)


@app.command("weights")
def weights() -> None:
    """Train the bundled encoder again from the project's own renders (an hour or two), and write its model card."""
    from lerf_ros.tinyclip.__main__ import app as steps

    steps(["all"], prog_name="python -m lerf_ros.tinyclip")
