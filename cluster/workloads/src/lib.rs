//! The workload controllers: Deployment to Job, endpoints, namespaces.
