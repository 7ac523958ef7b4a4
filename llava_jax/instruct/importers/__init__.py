"""One module a source: each turns its own files into scenes."""
