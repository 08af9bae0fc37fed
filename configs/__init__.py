"""Configs, policies, prompts and probes that ship with Steelyard."""
