"""Real photographs: finding faces, anonymising folders, what metadata are left, the audit and the attack.

Imports `synthetic`, `anonymize`, `io` and below. Used from outside: `faces`, `exposure`, `photograph`, `audit`, `attack`,
`folder.anonymize_folder`.
"""
