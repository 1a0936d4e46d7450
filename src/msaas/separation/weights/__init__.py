"""Where a model's weights are found, fetched and checked."""
