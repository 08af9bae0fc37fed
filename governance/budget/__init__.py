"""The privacy budget of a data set: what steps of noise cost, and a book of what was spent.

`accounting` is the arithmetic, `tuning` that of searches, `calibration` finds the noise for a target, `fingerprint`
tells data sets apart, and `ledger` is the book that every private run writes in before it takes a step.
"""
