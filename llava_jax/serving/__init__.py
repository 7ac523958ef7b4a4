"""A model behind the chat API that OpenAI's clients speak."""
