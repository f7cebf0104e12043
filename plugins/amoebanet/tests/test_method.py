from nascore.testing import MethodConformance


class TestAmoebanet(MethodConformance):
    name = "amoebanet"
