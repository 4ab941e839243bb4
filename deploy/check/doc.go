// Package check holds the tests of what is in deploy: that it is well formed, that its parts fit together, and that
// it fits the server. It is a module of its own, so that the product does not need the types of Kubernetes.
package check
