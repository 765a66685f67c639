"""P3M-Synth: a procedural portrait benchmark in the folder layout of P3M-10k."""
