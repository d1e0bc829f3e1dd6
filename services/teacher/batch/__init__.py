"""OpenAI's Batch API: many requests at half price."""
