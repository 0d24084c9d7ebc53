# SPDX-License-Identifier: Apache-2.0
"""The table of flows in docs/guides/choosing.md: it has a row per registered flow, and says what the flows do."""

import inspect
import re

import numpy as np
import pytest
import tensorflow as tf
from paths import ROOT

import tfp_glow
from tfp_glow.flows import config_from_dict


def registered():
    """Returns the names of the registered flows of this package, from the error message for an unknown one."""
    with pytest.raises(ValueError) as caught:
        config_from_dict({"flow": "unknown"})
    names = re.findall(r"'(\w+)'", re.search(r"one of (\[.*?\])", str(caught.value)).group(1))
    return [name for name in names if hasattr(tfp_glow, name)]


def rows():
    text = (ROOT / "docs" / "guides" / "choosing.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- flows: begin -->\n(.*?)<!-- flows: end -->", text, re.DOTALL).group(1)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_the_table_lists_all_registered_flows():
    assert sorted(rows()) == sorted(registered())


@pytest.mark.parametrize("name", registered())
def test_the_table_says_what_the_arguments_are(name):
    flow, (paper, events, parallel, conditional) = getattr(tfp_glow, name), rows()[name]
    arguments = inspect.signature(flow).parameters
    assert re.search(r"\d{4}", paper) or name == "pyramid"
    assert ("images" in events) == ("image_shape" in arguments or "pixels" in arguments)
    assert ("vectors" in events) == ("event_shape" in arguments)
    for argument in ("num_classes", "context_shape"):
        assert (argument in conditional) == (argument in arguments)
    assert parallel in ("density and sampling", "density", "sampling")


@pytest.mark.parametrize(("name", "parallel"), [
    ("realnvp_vector", "density and sampling"), ("maf", "density"), ("iaf", "sampling"),
    ("nsf", "density and sampling"), ("nice", "density and sampling")])
def test_what_is_parallel(name, parallel):
    """A serial direction has a loop over elements in its graph. `unrolled` leaves no other loop."""
    arguments = {} if name == "nice" else {"backprop": "unrolled"}
    flow = getattr(tfp_glow, name)(3, **arguments)
    passes = {"density": flow.log_prob, "sampling": flow.bijector.forward}
    found = []
    for direction, function in passes.items():
        concrete = tf.function(function).get_concrete_function(tf.zeros((2, 3)))
        graph = concrete.graph.as_graph_def()
        ops = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
        found += [direction] * (not ops & {"While", "StatelessWhile"})
    assert rows()[name][2] == parallel == " and ".join(found)
    assert np.all(np.isfinite(flow.log_prob(tf.zeros((2, 3)))))
