"""From one checkpoint dialect to another, with a proof."""
