"""What the visitors of the app share."""
