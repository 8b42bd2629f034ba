"""The programs in docs/ run as they are printed, and learn what they say."""

import re
import subprocess
import sys

import pytest

from experiments.tables import ROOT

PROGRAMS = re.findall(r"## (.*?)\n\n```python\n(.*?)```", (ROOT / "docs/other_networks.md").read_text(), re.DOTALL)


def test_there_is_a_program_for_each_kind_of_network():
    assert [name for name, _ in PROGRAMS] == ["Hand-written JAX", "Equinox", "Flax NNX"]


@pytest.mark.parametrize("program", [program for _, program in PROGRAMS], ids=[name for name, _ in PROGRAMS])
def test_a_program_trains_another_kind_of_network(program):
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout.split()[0]) > 0.85
