//! The Kubernetes API in one process, over SQLite.
