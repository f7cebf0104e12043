"""Networks become plain Python files, compared with the network when they are written."""

from nascore.contracts import Task
from nascore.export import export_python
from nascore_eas.chain import ChainSpace, chain_of


def test_a_chain_becomes_plain_python(tmp_path):
    space, task = ChainSpace(), Task("small", (1, 8, 8), 10)
    space.name = "eas:chain"
    one = space.of_chain(chain_of(["conv-4-3", "conv-8-1", "pool", "conv-12-5", "pool", "fc-16", "fc-8"]))
    path, _ = export_python(space.build(one, task), tmp_path / "net.py", task=task, architecture=one)
    text = path.read_text()
    assert "import nascore" not in text
    assert "Conv2d" in text
