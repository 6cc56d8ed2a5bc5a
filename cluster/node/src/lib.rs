//! Pods on this machine: images, sandboxes, their network and names.
