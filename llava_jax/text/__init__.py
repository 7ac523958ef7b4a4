"""Text: conversation templates, the tokenizer, and both made into token ids and a loss mask."""
