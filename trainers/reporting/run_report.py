# SPDX-License-Identifier: Apache-2.0
"""Writes `report.html`, a self-contained page that shows what a run has learned."""

import base64
import pathlib

import jinja2

from trainers.data import ImageData, VectorData
from trainers.evaluation import scores
from trainers.reporting.png_files import png_bytes
from trainers.reporting.report_model import ReportedModel
from trainers.reporting.report_sections import all_sections
from trainers.runs import trained_models
from trainers.runs.atomic_files import replacing
from trainers.runs.run_directory import RunDirectory


def write(run: RunDirectory, data: ImageData | VectorData) -> pathlib.Path:
    """Writes the report of a run's best weights so far into the run directory, over an earlier report.

    Args:
      run: the run directory.
      data: the data set that the run was trained on.

    Returns:
      The path of the page.

    Raises:
      ValueError: if the run has no weights yet, or `data` differs in kind from the run's data set.
    """
    config = run.config()
    scores.check_data(config, data, run)
    sections = all_sections(ReportedModel(run, *trained_models.load(run), data))
    templates = jinja2.Environment(loader=jinja2.PackageLoader("trainers.reporting", "."), autoescape=True,
                                   trim_blocks=True,
                                   keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    templates.filters["png_base64"] = lambda picture: base64.b64encode(png_bytes(picture)).decode("ascii")
    page = templates.get_template("report.html.jinja").render(title=f"{config['preset']} on {data.name}", **sections)
    with replacing(run.report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report_path
