"""From runs to what a reader sees: tables with captions, statistics, transfer, the paper's claims, one page of it all.

Imports `experiments` and below. Used from outside: `tables`, `scores`, `claims`, `report`, `statistics`, `transfer`,
`stability`, `slides`, `page`.
"""
