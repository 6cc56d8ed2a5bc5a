//! End to end: real kubectl, real kube-apiserver, the real binary.
