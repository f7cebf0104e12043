"""The conformance kit: subclass one class, write one method, and pytest checks your part.

::

    from nascore.testing import SamplerConformance

    class TestMySampler(SamplerConformance):
        def make(self):
            return MySampler(population_size=5)

Every check says in its docstring what the core relies on, and fails with a message that says what
your part did. Everything else (the space, the data, the number of trials) has a default and is a
method or class attribute to override.
"""

from __future__ import annotations

from nascore.template import render_plugin
from nascore.testing.cost_models import CostModelConformance
from nascore.testing.driver import MemoryContext, drive, judge
from nascore.testing.evaluators import EvaluatorConformance
from nascore.testing.samplers import SamplerConformance
from nascore.testing.search_spaces import SearchSpaceConformance
from nascore.testing.searches import MethodConformance, ResumeConformance
from nascore.testing.toys import ToyData, ToyEvaluator, ToySpace, toy_data

__all__ = [
    "CostModelConformance",
    "EvaluatorConformance",
    "MemoryContext",
    "MethodConformance",
    "ResumeConformance",
    "SamplerConformance",
    "SearchSpaceConformance",
    "ToyData",
    "ToyEvaluator",
    "ToySpace",
    "drive",
    "judge",
    "render_plugin",
    "toy_data",
]
