"""P3M-Synth: a procedural portrait benchmark in the folder layout of P3M-10k.

Imports `data`, `anonymize`, `matte`, `io`. Used from outside: `dataset`, which writes it; `portrait`, which renders one figure.
"""
