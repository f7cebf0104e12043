from nascore.testing import MethodConformance


class TestEas(MethodConformance):
    name = "eas"
