"""The parts of the app that visitors share."""
