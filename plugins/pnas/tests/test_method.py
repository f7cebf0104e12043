from nascore.testing import MethodConformance


class TestPnas(MethodConformance):
    name = "pnas"
