"""Data on disk: readers of the released folder layouts, their check, augmentation, foreground and background colours.

Imports `anonymize`, `matte`, `io` and below. Used from outside: `datasets`, `celeba`, `reading`, `augment`, `photo`, `places`,
`verify`, `pictures`, `foreground.write_layers`.
"""
