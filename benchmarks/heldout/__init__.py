"""Texts with known personal data, written by somebody who has not seen the scrubber's rules.

`validation` may be looked at when a rule fails on it. `final` is scored once, at the end, and only
its totals are looked at. The two share no sentence and no list of names, places or streets.
"""
