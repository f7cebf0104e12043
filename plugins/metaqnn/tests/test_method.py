from nascore.testing import MethodConformance


class TestMetaqnn(MethodConformance):
    name = "metaqnn"
