from nascore.testing import MethodConformance


class TestUnnas(MethodConformance):
    name = "unnas"
