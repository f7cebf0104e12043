from nascore.testing import SamplerConformance
from nascore_random.sampler import RandomSearch


class TestRandomSearch(SamplerConformance):
    def make(self):
        return RandomSearch()


class TestWithoutDuplicates(SamplerConformance):
    def make(self):
        return RandomSearch(deduplicate=True, tries=50)
