// Package e2e tests refq from outside: the binary, its processes and a real Redis.
package e2e
