# SPDX-License-Identifier: Apache-2.0
"""Tables from files: the loaded data, the units of likelihoods, and the errors."""

import json
import warnings

import numpy as np
import pytest
from small_runs import train_on

from trainers import data, evaluate


@pytest.fixture(scope="module")
def table():
    random = np.random.RandomState(0)
    mixed = random.normal(size=(300, 3)) @ [[1.0, 0.5, 0.0], [0.0, 0.3, 0.2], [0.0, 0.0, 2.0]]
    return (mixed + [2.0, -1.0, 0.0]).astype(np.float32)


def test_tables_are_read_completely(table, tmp_path):
    np.save(tmp_path / "table.npy", table)
    np.savetxt(tmp_path / "bare.csv", table, fmt="%.9g", delimiter=",")
    np.savetxt(tmp_path / "titled.csv", table, fmt="%.9g", delimiter=", ", header="a,b,c", comments="")
    np.savetxt(tmp_path / "quoted.csv", table, fmt='"%.9g"', delimiter=", ", header='"a, in m",b,c\n', comments="",
               newline="\r\n")
    order = np.random.RandomState(0).permutation(300)
    for name in ("table.npy", "bare.csv", "titled.csv", "quoted.csv"):
        read = data.load(f"array:{tmp_path / name}")
        assert read.event_shape == (3,) and read.true_entropy is None
        for split, part in (("train", order[:243]), ("validation", order[243:270]), ("test", order[270:])):
            np.testing.assert_array_equal(read.arrays[split], table[part])
    np.testing.assert_allclose(read.statistics, [table[order[:243]].mean(axis=0), table[order[:243]].std(axis=0)],
                               rtol=1e-4)


def test_likelihoods_are_in_the_units_of_the_table(table, tmp_path, capsys):
    """If all values are 1,000 times larger, the density is 1,000 times smaller per column."""
    nats = []
    for name, unit in (("one", 1.0), ("milli", 1000.0)):
        np.save(tmp_path / f"{name}.npy", unit * table)
        run = train_on(f"array:{tmp_path / name}.npy", tmp_path / name)
        assert evaluate.main(["evaluate", f"--run_dir={run}", f"--data=array:{tmp_path / name}.npy"]) == 0
        nats.append(json.loads(capsys.readouterr().out.splitlines()[-1])["nats"])
        assert run.config()["flow"]["scale"] == pytest.approx(list(unit * table.std(axis=0)), rel=0.1)
    assert nats[1] - nats[0] == pytest.approx(3 * np.log(1000.0), abs=1e-3)
    assert len(list(run.samples.iterdir())) == 2


BAD_TABLES = {
    "must be .npy or .csv": ("t.txt", "1,2"),
    "finite numbers only; row 2, column 1 is nan": ("t.csv", "a,b\n1,2\nnan,4\n"),
    "finite numbers only; row 3, column 2 is inf": ("t.npy", np.array([[1, 2], [3, 4], [5, np.inf]])),
    "must hold numbers only; row 2, column 2 has ''": ("t.csv", "1,2\n3,\n"),
    "must hold numbers only; row 1, column 2 has 'x'": ("t.csv", "1,x\n3,4\n"),
    "must have equal length; row 1 has 2 numbers, row 2 has 3": ("t.csv", "1,2\n3,4,5\n"),
    r"rows and columns; got shape \(0,\)": ("t.csv", "a,b\n"),
    r"rows and columns; got shape \(5,\) and dtype float64": ("t.npy", np.zeros(5)),
    "rows and columns; got shape .* and dtype complex128": ("t.npy", np.ones((5, 2), complex)),
    "corrupt array file .*t.npy": ("t.npy", "not an array"),
    "corrupt array file .*t.csv": ("t.csv", '1,"2\n3,4\n'),
    "must have at least 4 rows; got 3": ("t.npy", np.arange(6.0).reshape(3, 2)),
    "values must not be too large for float32": ("t.npy", np.arange(60.0).reshape(30, 2) * 1e300),
    "column 2 of .* must vary": ("t.npy", np.stack([np.arange(30.0), np.ones(30)], axis=1)),
}


@pytest.mark.parametrize("message", BAD_TABLES)
def test_bad_tables_are_rejected(message, tmp_path):
    name, content = BAD_TABLES[message]
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        np.save(tmp_path / name, content)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=f"^data: .*{message}") as caught:
        warnings.simplefilter("error")
        data.load(f"array:{tmp_path / name}")
    assert "\n" not in str(caught.value)
