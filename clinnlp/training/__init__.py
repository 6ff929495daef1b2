"""Fine-tuning: configuration, batches, metrics, model cards."""
