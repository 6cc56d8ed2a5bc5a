//! Gateway API data plane: hosts, paths, headers, weights; request metrics.
