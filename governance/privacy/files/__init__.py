"""Files and folders of texts, scrubbed shard by shard in bounded memory."""
