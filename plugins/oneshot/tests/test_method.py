from nascore.testing import MethodConformance


class TestOneshot(MethodConformance):
    name = "oneshot"
