# SPDX-License-Identifier: Apache-2.0
"""The table of the comparison."""

import math

from benchmarks.budget.loop import NUM_MIDWAY
from benchmarks.report import table


def markdown(record):
    """A row a system, what was not as it should be, and how it was measured."""
    measured = record["measured"]
    best = min((r["test"] for r in measured.values() if r["test"] is not None), default=math.inf)
    times = midway_minutes(measured)
    rows = []
    for name, result in measured.items():
        preset = result["settings"].get("preset")
        bits = bits_of(result["test"])
        rows.append((f"{name}, `{preset}`" if preset else name, f"**{bits}**" if result["test"] == best else bits,
                     bits_of(result["validation"]), *(bits_of(midway(result, minute)) for minute in times),
                     f"{result['steps']:,} of {result['batch_size']}", f"{result['images_per_second']:.0f}",
                     f"{result['cores']:.2f}", f"{result['params']:,}"))
    head = ("bits/dim", "test", "validation", *(f"after {minute} min" for minute in times), "steps", "images/s",
            "cores busy", "parameters")
    return "\n\n".join([table(head, rows), *remarks(measured), setting_of(record)])


def midway_minutes(measured):
    """The full minutes after which any system was validated midway."""
    return sorted({int(point["minutes"]) for result in measured.values() for point in result["curve"]
                   if point["validation"] is not None})


def midway(result, minute):
    """A system's bits/dim of some validation images after so many minutes, or None."""
    return next((p["validation"] for p in result["curve"] if int(p["minutes"]) == minute), None)


def bits_of(number):
    return "-" if number is None else f"{number:.3f}"


def remarks(measured):
    """A paragraph on each system that had steps without a finite loss."""
    return [f"{name}: {result['not_finite']} steps had no finite loss"
            + (f"; after {result['seconds'] / 60:.1f} minutes every one, which ended the training." if result["gave_up"]
               else ", and left the weights as they were." if result["skipped"] else ".")
            for name, result in measured.items() if result["not_finite"]]


def setting_of(record):
    """Budget, images, machine and versions in a paragraph."""
    results = list(record["measured"].values())
    settings, here = results[0]["settings"], record["machine"]
    images = f"{settings['limit']:,}" if settings["limit"] else "all"
    versions = {name: version for result in results for name, version in result["versions"].items()}
    return (f"{max(result['date'] for result in results)}, {here['processor']}, {here['cores']} cores, without GPU; "
            f"{', '.join(f'{name} {version}' for name, version in versions.items())}. {settings['minutes']:g} minutes "
            f"of training each, seed {settings['seed']}; {images} images of validation and test at the end, the first "
            f"{NUM_MIDWAY:,} of validation midway.")
