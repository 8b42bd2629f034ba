"""README keeps its promises: its program runs, its tables are those of the result files."""

import pathlib
import re
import subprocess
import sys

from experiments import tables

README = (tables.ROOT / "README.md").read_text()


def test_the_python_program_runs_as_printed():
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    result = subprocess.run([sys.executable, "-c", program], cwd=tables.ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_tables_are_those_of_the_result_files():
    assert tables.fill(README, tables.ROOT) == README


def test_quick_start_is_exactly_two_commands_of_one_line():
    section = README.split("## Quick start")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert [block.count("\n") for block in blocks] == [1, 1]


def test_every_file_named_exists():
    for name in re.findall(r"`((?:gtp_jax|experiments|configs)/[\w/]+\.py)`", README):
        assert (pathlib.Path(tables.ROOT) / name).exists(), name
