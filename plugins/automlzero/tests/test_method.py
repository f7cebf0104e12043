from nascore.testing import MethodConformance


class TestAutomlZero(MethodConformance):
    name = "automl-zero"
