// Package check holds no code, only tests: that Kubernetes would take the files beside it, and that they fit refq. It is
// a module of its own, since nothing else here knows Kubernetes.
package check
