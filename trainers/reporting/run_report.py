# SPDX-License-Identifier: Apache-2.0
"""The report of a run: what it has learned, on one page."""

from trainers.evaluation import scores
from trainers.reporting import html_page, report_pictures, report_tables
from trainers.runs import trained_models
from trainers.runs.atomic_files import replacing
from trainers.reporting.subject import Subject


def write(run, data):
    """Writes `report.html` into a run's directory, of its best weights so far; an older one is replaced.

    Args:
      run: a `RunDir`.
      data: the `ImageData` or `VectorData` that it was trained on.

    Returns:
      The page's path.

    Raises:
      ValueError: if the run has no weights yet, or `data` is not of the kind it was trained on.
    """
    scores.check_fits(run.config(), data, run)
    subject = Subject(run, *trained_models.load(run), data)
    of_events = [report_pictures.vectors] if data.num_levels is None else [
        report_pictures.samples, report_pictures.interpolations, report_pictures.nearest]
    sections = [report_tables.results, report_pictures.learning, *of_events, report_pictures.normality,
                report_tables.levels, report_pictures.spread, report_tables.configuration]
    page = html_page.page(f"{subject.config['preset']} on {data.name}", [section(subject) for section in sections])
    with replacing(run.report_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return run.report_path
