from nascore.testing import MethodConformance


class TestHnas(MethodConformance):
    name = "hnas"
