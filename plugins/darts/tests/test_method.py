from nascore.testing import MethodConformance


class TestDarts(MethodConformance):
    name = "darts"
