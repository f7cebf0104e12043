from nascore.testing import MethodConformance


class TestPathlevel(MethodConformance):
    name = "pathlevel"
