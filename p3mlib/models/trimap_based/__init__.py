"""Networks that are given a trimap: DIM, AlphaGAN, GCA, IndexNet, FBA."""
