"""Fine-tuning at a vendor: scrubbed rows leave, a model comes back by name, and no privacy claim covers it."""
