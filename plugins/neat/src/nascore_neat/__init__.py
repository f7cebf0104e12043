"""NEAT: neuroevolution of augmenting topologies (Stanley and Miikkulainen, Evolutionary Computation 10(2), 2002)."""
