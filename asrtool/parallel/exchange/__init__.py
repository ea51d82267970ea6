"""Exchange between the ranks of synchronous algorithms: reduce-scatter and all-gather on flat buffers, over torch.distributed."""
