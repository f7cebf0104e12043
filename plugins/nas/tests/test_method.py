from nascore.testing import MethodConformance


class TestNas(MethodConformance):
    name = "nas"
