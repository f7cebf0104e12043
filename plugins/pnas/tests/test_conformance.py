from nascore.testing import SamplerConformance, SearchSpaceConformance
from nascore_pnas.sampler import Progressive
from nascore_pnas.space import PNASSpace


class TestPNASSpace(SearchSpaceConformance):
    def make(self):
        return PNASSpace(blocks=3, channels=2)


class Progress(SamplerConformance):
    """21 cells of one block, 5 of two, 5 of three; then nothing is left to propose."""

    surrogate = "mlp"
    restarts = (1, 20, 21, 23, 26, 29)

    def make(self):
        return Progressive(beam=5, surrogate=self.surrogate, hidden=8, embedding=4, epochs=8)

    def space(self):
        return PNASSpace(blocks=3, ops=("skip_connect", "conv_3x3", "max_pool_3x3"), channels=2)


class TestMLP(Progress):
    def test_it_proposes_as_many_cells_as_the_paper_says(self):
        """METHODS, section 9, P4: unique(1) + K (B - 1)."""
        assert len(self._run()) == 21 + 5 * 2


class TestLSTM(Progress):
    surrogate = "lstm"
