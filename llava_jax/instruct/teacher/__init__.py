"""Teachers: they read a scene in symbols and answer with question-answer turns."""
