"""What stands in a text for personal data: placeholders, masks, hashes, ciphers, surrogates."""
