"""Pictures for training: sources, the decoded cache, batches, augmentation."""
