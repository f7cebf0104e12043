"""Networks become plain Python files, compared with the network when they are written."""

from nascore.contracts import Task
from nascore.export import export_python
from nascore_pathlevel.space import TreeSpace
from nascore_pathlevel.tree import Edge


def test_a_tree_becomes_plain_python(tmp_path):
    space, task = TreeSpace(cells=2, channels=5, max_depth=3), Task("small", (1, 8, 8), 10)
    space.name = "pathlevel:tree"
    op, none = Edge("sep3"), Edge("identity")
    split = Edge("split", (none, Edge("max3")))
    trees = [Edge("concat", (op, Edge("seq", (op, split)))), Edge("add", (op, none, Edge("avg3")))]
    one = space.of_trees(trees)
    path, _ = export_python(space.build(one, task), tmp_path / "net.py", task=task, architecture=one)
    text = path.read_text()
    assert "import nascore" not in text
    assert "torch.cat" in text
