# SPDX-License-Identifier: Apache-2.0
"""The sections of a report that are tables."""

import json
import math

from trainers.reporting.html_page import Section


def results(subject):
    """Bits per dimension of every split, and what they were reached with."""
    rows = [(split, f"{len(bits):,} of {subject.data.num_examples(split):,}", f"{bits.mean():.4f}",
             f"{subject.nats(bits.mean()):.3f}") for split, bits in subject.bits.items()]
    history = subject.history
    size = sum(math.prod(variable.shape) for variable in subject.model.trainable_variables)
    text = (f"{size:,} parameters. Weights: {subject.source}. Training: {len(history)} epochs of "
            f"{subject.config['steps_per_epoch']} steps, {sum(line['seconds'] for line in history):,.0f} seconds. ")
    skipped = history[-1].get("skipped_steps") if history else None
    if skipped:
        text += f"{skipped:,.0f} steps were skipped, for a loss or gradient that was not finite. "
    if subject.data.true_entropy is not None:
        text += f"The entropy of the true density is {subject.data.true_entropy:.4f} nats. "
    return Section("Results", text.strip(), ("split", "examples", "bits/dim", "nats an example"), tuple(rows))


def levels(subject):
    """What each level has in the bits per dimension of the test split."""
    latents, log_dets = subject.by_level
    per_nat = 1.0 / subject.nats(1.0)
    own = {name: per_nat * (0.5 * z**2 + 0.5 * math.log(2.0 * math.pi)).sum(axis=1).mean()
           for name, z in latents.items()}
    minus = {name: -values.mean() for name, values in log_dets.items()}
    rows = [(name, f"{own[name]:.4f}" if name in own else "", f"{change:+.4f}") for name, change in minus.items()]
    rows.append(("together", f"{sum(own.values()):.4f}", f"{sum(minus.values()):+.4f}"))
    return Section(
        "Levels", f"The {sum(own.values()) + sum(minus.values()):.4f} bits per dimension of the test split are those "
        "of the latents under N(0, 1) less the log-determinants of the way to them.",
        head=("part", "latents", "log-determinant, subtracted"), rows=tuple(rows))


def configuration(subject):
    """All that the run's result depends on."""
    return Section("Configuration", head=("entry", "value"), rows=tuple(_flat(subject.config)))


def _flat(config, prefix=""):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value)
