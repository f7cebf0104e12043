"""The method's record: every preset names settings that its parts take."""

import pytest

from nascore.options import make
from nascore.plugins import Plugins, resolve
from nascore.settings import merge, nest

METHOD = Plugins().find("methods", "unnas")[1]
TABLES = {"space": "search_spaces", "sampler": "samplers", "evaluator": "evaluators", "data": "datasets"}


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_preset_fits_the_parts(preset):
    parts = {table: {"use": getattr(METHOD, table)} for table in TABLES}
    settings = merge([parts, nest(METHOD.presets[preset])])
    for table, hook in TABLES.items():
        options = getattr(settings, table)
        record = Plugins().find(hook, options.pop("use"))[1]
        assert make(resolve(record.factory), options, table) is not None


def test_its_cost_models_exist():
    for address in METHOD.costs:
        assert Plugins().find("cost_models", address)
