# SPDX-License-Identifier: Apache-2.0
"""`write`: writes `report.html`, a page with the scores, charts and pictures of a trained model."""

import base64
import pathlib

import jinja2

from ..data import ImageData, VectorData
from ..evaluation import scores
from ..runs import trained_models
from ..runs.atomic_files import replacing
from ..runs.run_directory import RunDirectory
from .png_files import png_bytes
from .report_model import ReportedModel
from .report_sections import all_sections


def write(run: RunDirectory, data: ImageData | VectorData) -> pathlib.Path:
    """Writes `report.html`, the report of a training run, into the run directory. An earlier report is replaced.

    The page is one file without links to other files. It shows scores, the learning curve, samples, latents and the
    configuration. For a finished run, the model is `model.keras`; otherwise it is the best checkpoint.

    Args:
      run: the run directory.
      data: the data set of the training, an `ImageData` or a `VectorData`.

    Returns:
      The path of the page.

    Raises:
      ValueError: if the directory does not hold a run; if the run has neither `model.keras` nor a checkpoint; or if
        `data` has another event shape, another number of gray levels or other classes than the data set of the
        training.
    """
    config = run.config()
    scores.check_data(config, data, run)
    sections = all_sections(ReportedModel(run, *trained_models.load(run), data))
    templates = jinja2.Environment(loader=jinja2.PackageLoader(__package__, "."), autoescape=True,
                                   trim_blocks=True,
                                   keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    templates.filters["png_base64"] = lambda picture: base64.b64encode(png_bytes(picture)).decode("ascii")
    page = templates.get_template("report.html.jinja").render(title=f"{config['preset']} on {data.name}", **sections)
    with replacing(run.report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report_path
