"""The Hugging Face Hub: the client, model cards, uploads, Spaces."""
