"""Pure arrays of tokens and features: sorting, statistics, associations, contexts."""
