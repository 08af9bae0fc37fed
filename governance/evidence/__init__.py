"""Evidence that a third party can check: in-toto statements over a run's files, in signed DSSE envelopes."""
