from nascore.testing import MethodConformance


class TestNasnet(MethodConformance):
    name = "nasnet"
