from nascore.testing import MethodConformance


class TestEnas(MethodConformance):
    name = "enas"
