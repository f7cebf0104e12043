from nascore.options import make
from nascore.plugins import Plugins, resolve
from nascore.testing import MethodConformance


class TestOptuna(MethodConformance):
    name = "optuna"


def test_every_sampler_is_there():
    for record in Plugins().load("optuna").parts["samplers"]:
        assert make(resolve(record.factory), {}, "sampler").requires == {"decisions"}
