"""Graph to graph: rules and passes, one file each, in the order of `pipeline.PIPELINE`; and graph to groups: `fuse`."""
