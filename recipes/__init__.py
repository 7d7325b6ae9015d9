"""How the embedded weights and the face finder were made."""
