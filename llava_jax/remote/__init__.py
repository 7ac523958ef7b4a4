"""One client for every chat API that speaks OpenAI's protocol: kept answers, budget, retries."""
