"""Differentially private steps: what is promised (plan), how gradients are bounded (gradients), the steps."""
