"""Pictures in: sources, the cache of decoded ones, batches, augmentation."""
